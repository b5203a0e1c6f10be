// Package webhook is the edge that carries events out: to webhooks, to receivers of SNS
// notifications, to files, and to those who fetch them as messages of an SQS queue. It owns
// how often and how fast something is tried, where it may connect to, how it proves who
// sends, and the table event_subscription; what happened and in which order is package
// event's.
//
// Delivery is at least once and in order per Order of the events: an event is removed only
// when its sink has it, and one that fails holds back those of its own Order and no others.
package webhook
