package awsapi

import (
	"reflect"
	"slices"
)

// ResourceKinds are the kinds of the resources that an operation's requests may name, as
// they stand in ARNs and sorted, given the type of its input: what a policy's Resource can
// tell apart. "ARN" is any resource, named by its ARN. None means that a policy sees "*".
func ResourceKinds(operation string, input reflect.Type) []string {
	var kinds []string
	for _, m := range inputMembers(operation, input) {
		kinds = append(kinds, m.kind)
		if m.kind == gameSessionKind {
			kinds = append(kinds, "fleet") // the one it is on
		}
	}
	slices.Sort(kinds)
	return slices.Compact(kinds)
}
