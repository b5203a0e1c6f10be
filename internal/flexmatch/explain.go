package flexmatch

// Measure is a rule's verdict on a roster in numbers: what was measured, and the limit
// it was held against. Texts stand for the numbers where strings were compared.
type Measure struct {
	Failed       bool
	Measured     float64
	MeasuredText string
	Operation    string
	Limit        float64
	LimitText    string
	Location     string
}
