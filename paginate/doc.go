// Package paginate pages through the list operations of Amazon GameLift Servers
// with aws-sdk-go-v2, against Amazon's service or a compatible one. It has all of
// boto3's paginators: a total of items across pages, page size, resume tokens that
// can stop and start inside a page, everything in one result, and JMESPath (in
// package search). It adds what neither boto3 nor the Go SDK has: ranging over
// items, an exact resume token after any break, detection of every token cycle, a
// page cap, prefetch, and counts. It knows nothing of what the items mean.
//
//	it, err := paginate.New(paginate.DescribePlayerSessions, client,
//		&gamelift.DescribePlayerSessionsInput{GameSessionId: &id},
//		paginate.Options{PageSize: 100})
//	if err != nil { … }
//	for player, err := range it.Items(ctx) {
//		if err != nil { … }
//		fmt.Println(*player.PlayerSessionId, player.Status)
//	}
//
// # Operations
//
// There is one [Op] value for each of the 27 operations that page, the 26 of
// boto3 and DescribeFleetLocationAttributes. The types of input, output and items
// follow from it. [New] takes a *gamelift.Client, or anything with its methods;
// [NewFunc] takes just the one method.
//
// # Ranging
//
// [Iter.Items] ranges over items, [Iter.Pages] over whole answers, and
// [Iter.Collect] gathers everything. Every range is a new run from the start, so
// ranging twice reads the listing twice. An error comes once, as the last thing of
// a range, and wraps the SDK's error for errors.As. [Map], [Filter], [Take] and
// [Chunk] work on these sequences and draw no item more than they give.
//
// # Resuming
//
// [Iter.ResumeToken] is the place behind the last item given, whatever ended the
// range: MaxItems, MaxPages, a break, or an error. Give it as StartingToken to go
// on, with the same input; the page size may change. An item is given when the body of the loop
// begins: whoever wants an item that failed again keeps the token from before it.
//
// The token is boto3's, byte for byte, and boto3's and the AWS CLI's are taken
// (--starting-token, NextToken of build_full_result), so a listing begun in one
// language can be finished in another. [Parse] takes one apart. A service token
// names a page, and the page may have changed since: as with every paginator,
// items that were added or removed before the place shift what a skip counts.
//
// # From boto3
//
//	paginate(PaginationConfig={'MaxItems': 5})    Options{MaxItems: 5}
//	                          {'PageSize': 2}     Options{PageSize: 2}
//	                          {'StartingToken'}   Options{StartingToken: …}
//	for page in pages:                            for page, err := range it.Pages(ctx)
//	pages.build_full_result()                     it.Collect(ctx); the dict is Result.Output
//	pages.resume_token                            it.ResumeToken()
//	pages.search('…')                             search.Search(it.Pages(ctx), "…")
//	pages.result_key_iters()                      it.Items(ctx)
//
// The calls made, the pages, the resume tokens and the failures are those of
// botocore; the tests run both side by side. They differ in this, on purpose:
//
//   - Any token seen before in a run is an error, not only two equal ones in a
//     row. [Options].OnRepeat can choose otherwise.
//   - A range can be repeated. A PageIterator starts its second run at the last
//     page of the first.
//   - A skip that is longer than its page goes on into the next page. botocore
//     drops the rest of it and gives items again, when one resumes with a smaller
//     page size.
//   - MaxItems 0 means all; in boto3 it makes a call for nothing. Negative numbers
//     are errors; boto3 cuts from the wrong end.
//   - A NextToken in the input is part of the resume token, which botocore forgets.
//   - Tokens that cannot be meant are [ErrBadToken]; see [Parse].
//   - build_full_result leaves other members of the output away,
//     Result.Output keeps those of the first page.
//
// # Cost
//
// An item costs about 7 ns over the same loop written by hand, mostly for its
// copy. A run keeps every token it saw, to find cycles, unless OnRepeat is
// [Ignore].
package paginate
