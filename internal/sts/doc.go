// Package sts is the edge that answers AWS's Security Token Service one question: whose
// credentials are these? Tools ask it before they do anything else. It knows no room; an
// awsapi.Auth tells it who calls.
package sts
