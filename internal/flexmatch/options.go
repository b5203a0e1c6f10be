package flexmatch

// Options are the engine's switches: where AWS leaves a point open, the zero value is
// this project's choice and the switch is the other reading (spec section 7).
type Options struct {
	// PartyAsOne makes a party count as one value in comparison and distance rules. By
	// default each of its players counts with the party's aggregate (spec 2.3).
	PartyAsOne bool
	// AnyLocation lets each ticket of a small match have an acceptable location of its
	// own. By default one location must suit all (spec 1.5, latency).
	AnyLocation bool
	// AdditionalPlayerCount is the number of slots to keep free (spec 2.2).
	AdditionalPlayerCount int
	// Seed breaks ties between tickets of the same age: 0 by ticket id, any other value
	// by an order drawn from it.
	Seed uint64
	// Effort scales how long the search goes on where it has to try combinations; 0
	// means 1. Small pools are searched completely at any effort.
	Effort float64
}
