// Package hostmsg is the language between a host agent (internal/agent) and the control
// plane: the messages on their WebSocket, and nothing else. A message is one text frame, a
// JSON object whose "type" names the struct; Encode and Decode translate. Unknown types and
// members are passed over, so that agents and servers of different versions get along.
//
// The agent dials GET <server>/matchyard/host with the header Authorization: Bearer <token>
// and sends Hello. The server answers with Sync, which is everything it wants of the host,
// and from then on with Start, Stop and the rest as things change. What the agent reports is
// idempotent: after a new dial it reports everything it runs, again. A host whose socket is
// gone keeps its games running and dials again.
package hostmsg

import (
	"encoding/json"
	"fmt"
	"time"
)

// Path is where agents dial.
const Path = "/matchyard/host"

// Hello is the agent's first message.
type Hello struct {
	Host    string `json:"host"` // the host's name, unique; the same host keeps its own
	Version string `json:"version"`
	// Location is the fleet location the host serves; "" means the server's home region.
	Location string `json:"location,omitempty"`
	// Address is where players reach the host's game servers; DNSName may stand beside it.
	Address string `json:"address"`
	DNSName string `json:"dnsName,omitempty"`
	// Beacon is where clients find the host's ping beacon, HOST:PORT; "" when it has none.
	Beacon string `json:"beacon,omitempty"`
	OS     string `json:"os"` // "linux" or "windows"
	// Capacity is how many instances the host takes.
	Capacity int `json:"capacity"`
	// Instances are those the agent runs at this moment.
	Instances []InstanceState `json:"instances"`
}

// InstanceState is an instance as the agent sees it.
type InstanceState struct {
	Instance  string         `json:"instance"`
	Status    InstanceStatus `json:"status"`
	Processes []ProcessState `json:"processes,omitempty"`
}

// ProcessState is a process that runs.
type ProcessState struct {
	Process string    `json:"process"`
	Since   time.Time `json:"since"`
}

// InstanceStatus is how far an instance is.
type InstanceStatus string

// The states of an instance on its host.
const (
	Preparing InstanceStatus = "PREPARING" // build being fetched, unpacked, installed, checked
	Running   InstanceStatus = "RUNNING"   // processes are launched
	Draining  InstanceStatus = "DRAINING"  // told to stop; waits for its processes
	Gone      InstanceStatus = "GONE"      // nothing of it is left
	Failed    InstanceStatus = "FAILED"    // Preparing did not succeed
)

// Progress is a step of preparing an instance that began, ended or failed. The fleet events
// of a creation are made from those of its first instance (hosting.md 2.5).
type Progress struct {
	Instance string `json:"instance"`
	Step     Step   `json:"step"`
	Failed   bool   `json:"failed,omitempty"`
	// Reason is why it failed, for people.
	Reason string `json:"reason,omitempty"`
	// Log is the end of the step's output, at most 8 KiB: extracted files, the installer's
	// words, which launch paths exist.
	Log string `json:"log,omitempty"`
}

// Step is a step of preparing an instance, in this order.
type Step string

// The steps.
const (
	StepDownload       Step = "DOWNLOAD"       // failed: the build could not be fetched
	StepExtract        Step = "EXTRACT"        // begins; failed: the archive is refused
	StepInstall        Step = "INSTALL"        // begins (only with an install script); failed: it did
	StepInstalled      Step = "INSTALLED"      // the install script ended well
	StepValidate       Step = "VALIDATE"       // launch paths are looked up; failed: none exists
	StepExecutable     Step = "EXECUTABLE"     // failed: a launch path exists but does not run
	StepLaunched       Step = "LAUNCHED"       // the first process was launched: RUNNING
	StepInitialization Step = "INITIALIZATION" // failed: anything else
)

// ProcessStarted says that a process was launched; its id is the one it dials with.
type ProcessStarted struct {
	Instance   string `json:"instance"`
	Process    string `json:"process"`
	LaunchPath string `json:"launchPath"` // as the runtime configuration has it
}

// ProcessEnded says that a process is gone.
type ProcessEnded struct {
	Instance string     `json:"instance"`
	Process  string     `json:"process"`
	Reason   ExitReason `json:"reason"`
	ExitCode int        `json:"exitCode"`
	// Detail is the reason for people: the signal, the path, the last line of output.
	Detail string `json:"detail,omitempty"`
}

// ExitReason is why a process ended; the values are the AWS agent's TerminationReason.
type ExitReason string

// The reasons of server-sdk-protocol.md 8.3.
const (
	ExitNormal       ExitReason = "NORMAL_TERMINATION"
	ExitCrashed      ExitReason = "SERVER_PROCESS_CRASHED"
	ExitForced       ExitReason = "SERVER_PROCESS_FORCE_TERMINATED"
	ExitInvalidPath  ExitReason = "SERVER_PROCESS_INVALID_PATH"
	ExitTimeout      ExitReason = "SERVER_PROCESS_PROCESS_EXIT_TIMEOUT"
	ExitReadyTimeout ExitReason = "SERVER_PROCESS_PROCESS_READY_TIMEOUT"
	ExitInitTimeout  ExitReason = "SERVER_PROCESS_SDK_INITIALIZATION_TIMEOUT"
	ExitUnhealthy    ExitReason = "SERVER_PROCESS_TERMINATED_UNHEALTHY"
	ExitShutdown     ExitReason = "COMPUTE_SHUTTING_DOWN"
	ExitCustomer     ExitReason = "CUSTOMER_INITIATED"
)

// InstanceChanged says that an instance reached another state.
type InstanceChanged struct {
	Instance string         `json:"instance"`
	Status   InstanceStatus `json:"status"`
}

// WantUpload asks for somewhere to put the log archive of a game session; Upload answers.
type WantUpload struct {
	GameSession string `json:"gameSession"` // ARN
}

// Uploaded says that the log archive of a game session was stored, or that it could not be.
type Uploaded struct {
	GameSession string `json:"gameSession"`
	Instance    string `json:"instance"`
	Size        int64  `json:"size,omitempty"`
	Failed      string `json:"failed,omitempty"`
}

// Alive is sent every 20 seconds, and holds the host's use of its machine.
type Alive struct {
	CPU         float64 `json:"cpu"`         // 0 to 1, of all processors
	Memory      uint64  `json:"memory"`      // bytes in use
	MemoryTotal uint64  `json:"memoryTotal"` // bytes
}

// Sync is the server's answer to Hello: all instances the host is to run. Those the agent
// runs besides are to be stopped, as by Stop with Force.
type Sync struct {
	Instances []Start `json:"instances"`
	Stopping  []Stop  `json:"stopping,omitempty"` // of those, the ones that are to stop
}

// Start is an instance to run. It is repeated when something about it changed, such as its
// token or its runtime configuration, and then changes what runs without ending anything.
type Start struct {
	Instance string `json:"instance"` // its id, "i-…", which is its compute name
	Fleet    string `json:"fleet"`
	FleetARN string `json:"fleetArn"`
	Region   string `json:"region"`
	Location string `json:"location"`
	Build    Build  `json:"build"`
	OS       string `json:"os"` // OperatingSystem of the build: AMAZON_LINUX_2023, …
	// Endpoint is the WebSocket URL game servers dial, Token what they show.
	Endpoint string `json:"endpoint"`
	Token    string `json:"token"`
	// Runtime is the fleet's runtime configuration.
	Runtime Runtime `json:"runtime"`
	// Swift launches processes without the pauses between them: a server for development.
	Swift bool `json:"swift,omitempty"`
	// Metadata is what gamelift-metadata.json holds (hosting.md 2.13).
	Metadata json.RawMessage `json:"metadata,omitempty"`
}

// Build is the archive an instance runs.
type Build struct {
	ID string `json:"id"`
	// URL is where the zip file is fetched: absolute, or a path on the server. It works for
	// an hour; a Start that comes again has a fresh one.
	URL  string `json:"url"`
	Size int64  `json:"size"`
	// Script is set for a Realtime script, which node runs.
	Script bool   `json:"script,omitempty"`
	Node   string `json:"node,omitempty"` // NodeJsVersion
}

// Runtime is a runtime configuration (hosting.md 2.8).
type Runtime struct {
	Processes         []ServerProcess `json:"processes"`
	MaxActivations    int             `json:"maxActivations,omitempty"`
	ActivationTimeout int             `json:"activationTimeout,omitempty"` // seconds
}

// ServerProcess is one entry of a runtime configuration.
type ServerProcess struct {
	LaunchPath string `json:"launchPath"`
	Parameters string `json:"parameters,omitempty"`
	Concurrent int    `json:"concurrent"`
}

// Stop ends an instance: no new processes; those that run are asked to end by the server
// through their own sockets. What still runs after Grace is killed; Force kills at once.
type Stop struct {
	Instance string `json:"instance"`
	Grace    int    `json:"grace,omitempty"` // seconds
	Force    bool   `json:"force,omitempty"`
}

// Kill ends one process at once (its whole process group).
type Kill struct {
	Instance string     `json:"instance"`
	Process  string     `json:"process"`
	Reason   ExitReason `json:"reason"`
}

// Dialled says that a process connected. From then on the server watches over the time until
// ProcessReady; before, the agent ends what does not dial within five minutes of its launch.
type Dialled struct {
	Instance string `json:"instance"`
	Process  string `json:"process"`
}

// Ending says that a process called ProcessEnding. What still runs 30 seconds later the
// agent kills, as ExitTimeout; what ends before ended normally.
type Ending struct {
	Instance string `json:"instance"`
	Process  string `json:"process"`
}

// Registered says that a process dialled and called ProcessReady, with its log paths.
type Registered struct {
	Instance string   `json:"instance"`
	Process  string   `json:"process"`
	LogPaths []string `json:"logPaths,omitempty"`
}

// Hosting says that a process activated a game session, which names its log archive.
type Hosting struct {
	Instance    string `json:"instance"`
	Process     string `json:"process"`
	GameSession string `json:"gameSession"`
}

// Upload answers WantUpload: where to PUT the zip file, within the hour.
type Upload struct {
	GameSession string `json:"gameSession"`
	URL         string `json:"url"` // absolute, or a path on the server
}

// Tail asks for the end of the log files of a process, and for what is written to them from
// then on: the files it named in ProcessReady, and its output. The agent answers with
// TailFiles and then sends TailText, until TailStop, until the process has ended, or until the
// tail was not asked for again for TailLease. Asked for again, one that is known goes on as it
// is; so the server repeats it, and after a new dial the agent goes on where the server says.
type Tail struct {
	ID       string `json:"id"` // of the tail, which the server chooses
	Instance string `json:"instance"`
	Process  string `json:"process"`
	// Last is how many bytes of the end of each file come first.
	Last int64 `json:"last,omitempty"`
	// From has the files that were read before, and how far. Of others Last bytes come.
	From []TailPosition `json:"from,omitempty"`
}

// TailLease is how long a tail lasts that is not asked for again.
const TailLease = 45 * time.Second

// TailPosition is how far a file was read.
type TailPosition struct {
	File   string `json:"file"`          // as TailFiles names it
	Gen    string `json:"gen,omitempty"` // tells the file from another that took its name
	Offset int64  `json:"offset"`
}

// TailStop ends a tail. TailEnd does not follow.
type TailStop struct {
	ID string `json:"id"`
}

// TailFiles answers Tail, each one, and comes again when the files become others.
type TailFiles struct {
	ID    string     `json:"id"`
	Files []TailFile `json:"files"`
}

// TailFile is a file that is followed, or one that is not and why.
type TailFile struct {
	Name string `json:"name"`
	Note string `json:"note,omitempty"`
}

// TailOutput is the name of what the process printed, as in log archives.
const TailOutput = "matchyard/output.log"

// TailText is a piece of a file, at most TailPiece bytes, or a mark between two pieces.
type TailText struct {
	ID     string   `json:"id"`
	File   string   `json:"file,omitempty"` // "" in TailCurrent
	Gen    string   `json:"gen,omitempty"`
	Offset int64    `json:"offset"` // of the first byte of Data; behind the mark
	Data   []byte   `json:"data,omitempty"`
	Mark   TailMark `json:"mark,omitempty"`
	// Bytes is how many were left out, in TailGap.
	Bytes int64 `json:"bytes,omitempty"`
}

// TailPiece is the largest TailText.
const TailPiece = 16 << 10

// TailMark is something that happened to a file.
type TailMark string

// The marks.
const (
	TailGap       TailMark = "gap"       // it grows faster than it may be sent; some of it was left out
	TailTruncated TailMark = "truncated" // it was emptied, and is read from its beginning
	TailRotated   TailMark = "rotated"   // another file took its name, and is read from its beginning
	TailDeleted   TailMark = "deleted"   // it is not there any more
	TailCurrent   TailMark = "current"   // all that was there when the tail began has been sent
)

// TailEnd ends a tail, after the last text.
type TailEnd struct {
	ID  string     `json:"id"`
	Why TailReason `json:"why"`
}

// TailReason is why a tail ended.
type TailReason string

// The reasons.
const (
	TailOver    TailReason = "over"    // the process has ended, and everything was sent
	TailUnknown TailReason = "unknown" // no such process runs
	TailMany    TailReason = "many"    // the host has as many tails as it takes
	TailLapsed  TailReason = "lapsed"  // it was not asked for again
)

// Refuse ends the dialogue: the agent must not dial again until somebody changes something,
// or, with Retry, dials again after a pause.
type Refuse struct {
	Reason string `json:"reason"`
	Retry  bool   `json:"retry,omitempty"`
}

// kinds are the names of the messages.
var kinds = map[string]func() any{
	"hello": func() any { return new(Hello) }, "progress": func() any { return new(Progress) },
	"processStarted": func() any { return new(ProcessStarted) }, "processEnded": func() any { return new(ProcessEnded) },
	"instanceChanged": func() any { return new(InstanceChanged) }, "wantUpload": func() any { return new(WantUpload) },
	"uploaded": func() any { return new(Uploaded) }, "alive": func() any { return new(Alive) },
	"sync": func() any { return new(Sync) }, "start": func() any { return new(Start) }, "stop": func() any { return new(Stop) },
	"kill": func() any { return new(Kill) }, "dialled": func() any { return new(Dialled) }, "ending": func() any { return new(Ending) }, "registered": func() any { return new(Registered) },
	"hosting": func() any { return new(Hosting) }, "upload": func() any { return new(Upload) }, "refuse": func() any { return new(Refuse) },
	"tail": func() any { return new(Tail) }, "tailStop": func() any { return new(TailStop) }, "tailFiles": func() any { return new(TailFiles) },
	"tailText": func() any { return new(TailText) }, "tailEnd": func() any { return new(TailEnd) },
}

func kindOf(m any) string {
	switch m.(type) {
	case *Hello:
		return "hello"
	case *Progress:
		return "progress"
	case *ProcessStarted:
		return "processStarted"
	case *ProcessEnded:
		return "processEnded"
	case *InstanceChanged:
		return "instanceChanged"
	case *WantUpload:
		return "wantUpload"
	case *Uploaded:
		return "uploaded"
	case *Alive:
		return "alive"
	case *Sync:
		return "sync"
	case *Start:
		return "start"
	case *Stop:
		return "stop"
	case *Kill:
		return "kill"
	case *Dialled:
		return "dialled"
	case *Ending:
		return "ending"
	case *Registered:
		return "registered"
	case *Hosting:
		return "hosting"
	case *Upload:
		return "upload"
	case *Refuse:
		return "refuse"
	case *Tail:
		return "tail"
	case *TailStop:
		return "tailStop"
	case *TailFiles:
		return "tailFiles"
	case *TailText:
		return "tailText"
	case *TailEnd:
		return "tailEnd"
	}
	return ""
}

// frame is a message on the wire.
type frame struct {
	Type string          `json:"type"`
	Body json.RawMessage `json:"body"`
}

// Encode is the text frame of a message, which is a pointer to one of this package's
// structs.
func Encode(m any) ([]byte, error) {
	kind := kindOf(m)
	if kind == "" {
		return nil, fmt.Errorf("hostmsg: %T is no message", m)
	}
	body, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("hostmsg: %w", err)
	}
	return json.Marshal(frame{Type: kind, Body: body})
}

// Decode reads a text frame: a pointer to one of this package's structs, or nil for a type
// it does not know.
func Decode(text []byte) (any, error) {
	var f frame
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, fmt.Errorf("hostmsg: %w", err)
	}
	fresh, known := kinds[f.Type]
	if !known {
		return nil, nil
	}
	m := fresh()
	if err := json.Unmarshal(f.Body, m); err != nil {
		return nil, fmt.Errorf("hostmsg: %s: %w", f.Type, err)
	}
	return m, nil
}
