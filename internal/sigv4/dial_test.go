package sigv4_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/matchyard/matchyard/internal/sigv4"
)

// sign is the signature of a string to sign, by the book.
func sign(scope, text string) string {
	key := []byte("AWS4" + secret)
	for part := range strings.SplitSeq(scope, "/") {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(part))
		key = h.Sum(nil)
	}
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return hex.EncodeToString(h.Sum(nil))
}

var dialedAt = time.Date(2026, 11, 22, 20, 47, 20, 0, time.UTC)

// query is what a server SDK dials with. escape is how it encodes what it signs.
func query(escape func(string) string, compute, fleet, process string) url.Values {
	const scope, stamp = "20261122/us-west-2/gamelift/aws4_request", "20261122T204720Z"
	canonical := "ComputeId=" + escape(compute) + "&FleetId=" + escape(fleet) + "&pID=" + escape(process)
	return url.Values{
		"pID": {process}, "ComputeId": {compute}, "FleetId": {fleet},
		"sdkVersion": {"5.5.0"}, "sdkLanguage": {"Go"}, "IdempotencyToken": {"t"},
		"Authorization":        {"SigV4"},
		"X-Amz-Algorithm":      {"AWS4-HMAC-SHA256"},
		"X-Amz-Credential":     {keyID + "/" + scope},
		"X-Amz-Date":           {stamp},
		"X-Amz-Security-Token": {token},
		"X-Amz-Signature":      {sign(scope, "AWS4-HMAC-SHA256\n"+stamp+"\n"+scope+"\n"+hexSum([]byte(canonical)))},
	}
}

func dialKey(id string) (sigv4.Key, error) {
	if id != keyID {
		return sigv4.Key{}, sigv4.ErrUnknownKey
	}
	return sigv4.Key{Secret: secret, Temporary: true, TokenSum: sha256.Sum256([]byte(token)), Expires: dialedAt.Add(time.Hour)}, nil
}

func TestDial(t *testing.T) {
	good := func() url.Values { return query(url.QueryEscape, "host/1", "fleet-1", "p 1") }
	change := func(name, value string) url.Values {
		q := good()
		q[name] = strings.Split(value, "|")
		if value == "" {
			delete(q, name)
		}
		return q
	}
	for _, test := range []struct {
		name  string
		query url.Values
		late  time.Duration
		live  bool
		code  sigv4.Code
	}{
		{"signed by the Go SDK", good(), 0, false, ""},
		{"signed by the C++ SDK", query(url.PathEscape, "host 1", "fleet-1", "p"), 0, false, ""},
		{"what is not signed may change", change("IdempotencyToken", "other"), 0, false, ""},
		{"an hour old, of a process that lives", good(), 100 * time.Hour, true, ""},
		{"an hour old, of an unknown process", good(), time.Hour, false, sigv4.InvalidSignature},
		{"of the future, of a process that lives", good(), -time.Hour, true, sigv4.InvalidSignature},
		{"another compute", change("ComputeId", "host/2"), 0, true, sigv4.InvalidSignature},
		{"another fleet", change("FleetId", "fleet-2"), 0, true, sigv4.InvalidSignature},
		{"another process", change("pID", "p"), 0, true, sigv4.InvalidSignature},
		{"two processes", change("pID", "p 1|p 2"), 0, true, sigv4.IncompleteSignature},
		{"two signatures", change("X-Amz-Signature", "0|1"), 0, true, sigv4.IncompleteSignature},
		{"another signature", change("X-Amz-Signature", "00"), 0, true, sigv4.InvalidSignature},
		{"another session token", change("X-Amz-Security-Token", "x"), 0, true, sigv4.UnrecognizedClient},
		{"no session token", change("X-Amz-Security-Token", ""), 0, true, sigv4.UnrecognizedClient},
		{"another key", change("X-Amz-Credential", "AKIDOTHER/20261122/us-west-2/gamelift/aws4_request"), 0, true, sigv4.UnrecognizedClient},
		{"another service", change("X-Amz-Credential", keyID+"/20261122/us-west-2/s3/aws4_request"), 0, true, sigv4.InvalidSignature},
		{"another day", change("X-Amz-Credential", keyID+"/20261121/us-west-2/gamelift/aws4_request"), 0, true, sigv4.InvalidSignature},
		{"half a credential", change("X-Amz-Credential", keyID), 0, true, sigv4.IncompleteSignature},
		{"another algorithm", change("X-Amz-Algorithm", "AWS4-HMAC-SHA512"), 0, true, sigv4.IncompleteSignature},
		{"no date", change("X-Amz-Date", ""), 0, true, sigv4.IncompleteSignature},
		{"no signature", url.Values{"pID": {"p"}}, 0, true, sigv4.MissingAuthenticationToken},
	} {
		for range 2 {
			v := gamelift()
			_, err := v.VerifyDial(test.query, dialedAt.Add(test.late), test.live, dialKey)
			e, _ := errors.AsType[*sigv4.Error](err)
			if (test.code != "" || err != nil) && (e == nil || e.Code != test.code) {
				t.Errorf("%s: got %v, want %s", test.name, err, test.code)
			}
		}
	}
	short := func(id string) (sigv4.Key, error) {
		k, err := dialKey(id)
		k.Expires = dialedAt
		return k, err
	}
	if _, err := gamelift().VerifyDial(good(), dialedAt, true, short); err != nil {
		t.Errorf("expired token of a process that lives: %v", err)
	}
	if _, err := gamelift().VerifyDial(good(), dialedAt, false, short); err == nil {
		t.Error("expired token of an unknown process: accepted")
	}
}

// TestDialsOfTheServerSDK holds queries recorded from the official Go server SDK v5.5.0 on
// 2026-11-25.
func TestDialsOfTheServerSDK(t *testing.T) {
	at := time.Date(2026, 11, 25, 2, 22, 3, 0, time.UTC)
	known := func(string) (sigv4.Key, error) {
		return sigv4.Key{Secret: secret, Temporary: true, TokenSum: sha256.Sum256([]byte(token))}, nil
	}
	for _, text := range []string{
		"Authorization=SigV4&ComputeId=host-1%2Ftask-2&FleetId=fleet-2222bbbb-33cc-44dd-55ee-6666ffff77aa&IdempotencyToken=5e057b05-1f77-477f-bd8f-a5ac243a0c2f&" +
			"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20261125%2Fus-west-2%2Fgamelift%2Faws4_request&X-Amz-Date=20261125T022203Z&" +
			"X-Amz-Security-Token=FQoDYXdzEXAMPLETOKEN%3D%3D&X-Amz-Signature=34567056d11f51738f44ba59efd1c4eaf7a628014919d062853fa8ca36be1d72&" +
			"pID=process-1&sdkLanguage=Go&sdkVersion=5.5.0",
		"Authorization=SigV4&ComputeId=host-1&FleetId=fleet-2222bbbb-33cc-44dd-55ee-6666ffff77aa&IdempotencyToken=74d013a5-a5ca-468b-b869-9edfc015fffd&" +
			"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20261125%2Fus-west-2%2Fgamelift%2Faws4_request&X-Amz-Date=20261125T022203Z&" +
			"X-Amz-Security-Token=FQoDYXdzEXAMPLETOKEN%3D%3D&X-Amz-Signature=fbc03aa7f3350386fa7aaa6866d827b54593c242aa7c869ad8c0025cb62aa2c2&" +
			"pID=process+1&sdkLanguage=Go&sdkVersion=5.5.0",
	} {
		q, err := url.ParseQuery(text)
		if err != nil {
			t.Fatal(err)
		}
		if id, err := gamelift().VerifyDial(q, at, false, known); err != nil || id != keyID {
			t.Errorf("%s: got %q, %v", q.Get("pID"), id, err)
		}
		q.Set("ComputeId", q.Get("ComputeId")+"0")
		if _, err := gamelift().VerifyDial(q, at, false, known); err == nil {
			t.Errorf("%s: accepted for another compute", q.Get("pID"))
		}
	}
}
