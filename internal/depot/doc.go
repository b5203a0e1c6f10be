// Package depot is the edge by which files come and go. It speaks as much of the S3
// protocol as uploading a build takes, for the credentials that the build room gives out,
// and serves signed links, which host agents and the readers of logs use. It owns no table:
// what may be uploaded, and when it is accepted, the build room says.
//
// The S3 face is a handler of our own and not rclone/gofakes3: that brings buckets, users
// and a storage model where all we have is one object a credential, to be written once, and
// leaves those rules to us.
package depot
