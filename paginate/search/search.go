// Package search picks values out of pages with JMESPath, as the search method
// of boto3's page iterators does: the same expression over the same pages gives
// the same results.
//
//	found := search.Search(it.Pages(ctx), "PlayerSessions[?Status==`ACTIVE`].PlayerId")
//	for id, err := range search.As[string](found) { … }
//
// # What an expression sees
//
// An output of the service becomes what boto3 would hand to Python: members by
// their names in the model, unset ones absent, ResponseMetadata if the SDK
// recorded a response. Numbers are float64, enumerations strings, times
// time.Time, as boto has its datetime: they come out whole, are equal or not,
// and neither order nor sort.
//
// # Where results can differ
//
// Members come out of *, keys() and values() in the order of their names, in
// boto3 in the order of the response. Numbers have no int: 25.0 and 25 are one.
// to_string of a time is RFC 3339. Otherwise an expression that is an error in
// boto3 is an error here, including what newer JMESPath libraries would take
// (arithmetic, let, slices of strings, further functions), so that an expression
// that was tried here also works in boto3 and in --query of the AWS CLI.
//
// # The library
//
// The evaluation is github.com/jmespath-community/go-jmespath, the one of the two
// Go libraries that is still being worked on (2025; the other, jmespath/go-jmespath,
// rests since 2022), with the differences from Python's jmespath evened out in
// compile.go. Package paginate itself does not depend on it.
package search

import (
	"fmt"
	"iter"
)

// Search evaluates the expression on each page. A list is given item by item,
// anything else as one value for the page: null (nil) too, and length(…) gives
// one number a page. An expression that does not parse is an error before the
// first page is asked for. An error comes once, with a nil value, and ends the
// range.
//
// A page is consumed when its first value is given: after a break the ResumeToken
// of the paginate.Iter stands behind the page.
func Search[Out any](pages iter.Seq2[*Out, error], expression string) iter.Seq2[any, error] {
	return func(yield func(any, error) bool) {
		compiled, err := Compile(expression)
		if err != nil {
			yield(nil, err)
			return
		}
		for page, err := range pages {
			var found any
			if err == nil {
				found, err = compiled.In(page)
			}
			if err != nil {
				yield(nil, err)
				return
			}
			list, ok := found.([]any)
			if !ok {
				list = []any{found}
			}
			for _, value := range list {
				if !yield(value, nil) {
					return
				}
			}
		}
	}
}

// As gives the values of a search in their type: string, float64, bool,
// time.Time, []any or map[string]any. A value of another type, null too, is an
// error that ends the range.
func As[T any](values iter.Seq2[any, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for value, err := range values {
			typed, ok := value.(T)
			if err == nil && !ok {
				err = fmt.Errorf("search: found %T %v, want %T", value, value, typed)
			}
			if !yield(typed, err) || err != nil {
				return
			}
		}
	}
}
