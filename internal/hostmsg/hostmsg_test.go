package hostmsg_test

import (
	"reflect"
	"testing"

	"github.com/matchyard/matchyard/internal/hostmsg"
)

func TestEveryMessageComesBackAsItWas(t *testing.T) {
	for _, m := range []any{
		&hostmsg.Hello{Host: "rack-1", Capacity: 3, Instances: []hostmsg.InstanceState{{Instance: "i-1", Status: hostmsg.Running}}},
		&hostmsg.Progress{Instance: "i-1", Step: hostmsg.StepExtract, Failed: true, Reason: "not a zip file"},
		&hostmsg.ProcessStarted{Instance: "i-1", Process: "p", LaunchPath: "/local/game/server"},
		&hostmsg.ProcessEnded{Instance: "i-1", Process: "p", Reason: hostmsg.ExitCrashed, ExitCode: 2},
		&hostmsg.InstanceChanged{Instance: "i-1", Status: hostmsg.Gone},
		&hostmsg.WantUpload{GameSession: "arn"}, &hostmsg.Uploaded{GameSession: "arn", Size: 3}, &hostmsg.Alive{CPU: 0.5},
		&hostmsg.Sync{Instances: []hostmsg.Start{{Instance: "i-1", Token: "t"}}}, &hostmsg.Start{Instance: "i-2"},
		&hostmsg.Stop{Instance: "i-1", Grace: 30}, &hostmsg.Kill{Process: "p", Reason: hostmsg.ExitUnhealthy},
		&hostmsg.Dialled{Process: "p"}, &hostmsg.Ending{Process: "p"},
		&hostmsg.Registered{Process: "p", LogPaths: []string{"logs"}}, &hostmsg.Hosting{GameSession: "arn"},
		&hostmsg.Upload{URL: "/x"}, &hostmsg.Refuse{Reason: "unknown token"},
		&hostmsg.Tail{ID: "n/1", Instance: "i-1", Process: "p", Last: 9, From: []hostmsg.TailPosition{{File: "a", Gen: "7", Offset: 3}}},
		&hostmsg.TailStop{ID: "n/1"}, &hostmsg.TailFiles{ID: "n/1", Files: []hostmsg.TailFile{{Name: "a", Note: "is not there"}}},
		&hostmsg.TailText{ID: "n/1", File: "a", Offset: 3, Data: []byte{0, 255, '\n'}}, &hostmsg.TailText{File: "a", Mark: hostmsg.TailGap, Bytes: 7},
		&hostmsg.TailEnd{ID: "n/1", Why: hostmsg.TailOver},
	} {
		text, err := hostmsg.Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		back, err := hostmsg.Decode(text)
		if err != nil || !reflect.DeepEqual(m, back) {
			t.Errorf("%T: %v, %v from %s", m, back, err, text)
		}
	}
}

func TestStrangeMessages(t *testing.T) {
	if m, err := hostmsg.Decode([]byte(`{"type":"later","body":{}}`)); m != nil || err != nil {
		t.Errorf("an unknown type: %v, %v; want to pass it over", m, err)
	}
	for _, text := range []string{``, `[]`, `{"type":"stop","body":3}`, `{"type":"stop"}`} {
		if m, err := hostmsg.Decode([]byte(text)); err == nil {
			t.Errorf("%q was read as %v", text, m)
		}
	}
	if _, err := hostmsg.Encode(3); err == nil {
		t.Error("a number was sent")
	}
}
