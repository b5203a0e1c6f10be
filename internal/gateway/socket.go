package gateway

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"github.com/matchyard/matchyard/internal/compute"
)

// statusServiceRestart is the close code after which every SDK connects again (1.8).
const statusServiceRestart ws.StatusCode = 1012

// socket is one WebSocket. While nothing arrives it is a goroutine blocked in a read of
// two bytes; buffers are borrowed for as long as a message takes.
type socket struct {
	server  *Server
	process *process   // whose it is; nil: agent's
	agent   *agentLink // whose it is; nil: process's
	conn    net.Conn
	dial    int64 // its number among those of its process, as the room counts them

	ahead []byte   // read from the connection before its turn
	head  [14]byte // of a frame

	heard  atomic.Int64 // when something last arrived, in wall nanoseconds
	pinged atomic.Int64 // when it was pinged for silence; 0: it was not

	mu       sync.Mutex
	out      []frame // to be written
	outBytes int
	writing  bool // somebody writes, and goes on until out is empty
	deaf     bool // takes no more frames: a close frame was queued, or the connection broke
	ending   bool // the writer closes the connection when it is done
	leaving  bool // the server restarts: no new requests, 1012 when the last has been answered
	running  int
	waiting  []*[]byte // messages
	held     int       // bytes of those
}

// frame is a whole frame to be written.
type frame struct {
	bytes []byte
	push  *compute.Message // what to return to the inbox if it cannot be written
	final bool             // nothing follows it: a close frame
	last  bool             // final, and the connection is closed after it
}

var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 4096) }}

// buffers hold messages; those that grew large are not kept.
var buffers = sync.Pool{New: func() any { return new(make([]byte, 0, 1024)) }}

func putBuffer(b *[]byte) {
	if cap(*b) <= 64<<10 {
		*b = (*b)[:0]
		buffers.Put(b)
	}
}

// serve reads until the socket ends.
func (k *socket) serve() {
	defer k.server.work.Done()
	code, reason := k.receive()
	if code != 0 {
		k.server.counts.dropped.Add(1)
		k.server.logDropped(k, reason)
		k.send(frame{bytes: closeFrame(code, reason), final: true})
		// What it still sends is read, or closing would reset the connection and the peer
		// might never see why.
		_ = k.conn.SetReadDeadline(time.Now().Add(lingerTime))
		_, _ = io.Copy(io.Discard, k.conn)
	}
	k.abandon()
	k.server.departed(k)
}

// abandon closes the connection unless a close frame is on its way, in which case the
// writer does.
func (k *socket) abandon() {
	k.mu.Lock()
	k.deaf = true
	left := k.ending && k.writing
	k.mu.Unlock()
	if !left {
		_ = k.conn.Close()
	}
}

// receive takes frames in until the connection ends. code is what to tell a peer that
// broke the rules; 0 when it left or the connection broke.
func (k *socket) receive() (code ws.StatusCode, reason string) {
	var r *bufio.Reader // borrowed while there is something to read
	var message *[]byte // what has arrived of a data message
	state := ws.StateServerSide
	defer func() {
		if r != nil {
			k.putReader(r)
		}
		if message != nil {
			putBuffer(message)
		}
	}()
	for {
		if r == nil {
			if err := k.wait(); err != nil {
				return 0, ""
			}
			r = readers.Get().(*bufio.Reader)
			r.Reset((*source)(k))
		}
		h, err := ws.ReadHeaderBuffer(r, k.head[:])
		if err != nil {
			return k.readError(err)
		}
		k.heard.Store(time.Now().UnixNano())
		if err := ws.CheckHeader(h, state); err != nil {
			return ws.StatusProtocolError, err.Error()
		}
		if h.OpCode.IsControl() {
			end, code, reason := k.control(r, h)
			if end {
				return code, reason
			}
		} else {
			if h.OpCode == ws.OpBinary {
				return ws.StatusUnsupportedData, "messages are text"
			}
			if message == nil {
				message = buffers.Get().(*[]byte)
			}
			if h.Length > int64(maxMessage-len(*message)) {
				return ws.StatusMessageTooBig, "a message may have 1 MiB"
			}
			if err := readPayload(r, message, int(h.Length), h.Mask); err != nil {
				return k.readError(err)
			}
			state = state.Set(ws.StateFragmented)
			if h.Fin {
				state = state.Clear(ws.StateFragmented)
				if !utf8.Valid(*message) {
					return ws.StatusInvalidFramePayloadData, "messages are UTF-8"
				}
				k.request(message)
				message = nil
			}
		}
		if message != nil {
			continue // the deadline is that of the whole message
		}
		_ = k.conn.SetReadDeadline(time.Time{})
		if r.Buffered() == 0 {
			k.putReader(r)
			r = nil
		}
	}
}

func (k *socket) putReader(r *bufio.Reader) {
	r.Reset(nil)
	readers.Put(r)
}

// wait blocks until a message begins. The peer then has messageTime for the rest.
func (k *socket) wait() error {
	if len(k.ahead) == 0 {
		n, err := k.conn.Read(k.head[:2])
		if n == 0 && err != nil {
			return err
		}
		k.ahead = k.head[:n]
	}
	return k.conn.SetReadDeadline(time.Now().Add(messageTime))
}

// source is a socket as a stream: what was read ahead, then the connection.
type source socket

func (k *source) Read(p []byte) (int, error) {
	if n := copy(p, k.ahead); n > 0 {
		if k.ahead = k.ahead[n:]; len(k.ahead) == 0 {
			k.ahead = nil
		}
		return n, nil
	}
	return k.conn.Read(p)
}

// readError decides what a failed read in the middle of a message means.
func (k *socket) readError(err error) (ws.StatusCode, string) {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return ws.StatusPolicyViolation, "the message took too long to arrive"
	case errors.Is(err, ws.ErrHeaderLengthMSB), errors.Is(err, ws.ErrHeaderLengthUnexpected):
		return ws.StatusProtocolError, err.Error()
	}
	return 0, ""
}

// readPayload appends a frame's payload to b. Memory grows with what arrives, not with
// what the header promises.
func readPayload(r io.Reader, b *[]byte, n int, mask [4]byte) error {
	for done := 0; done < n; {
		part := min(n-done, 32<<10)
		at := len(*b)
		*b = append(*b, make([]byte, part)...)
		if _, err := io.ReadFull(r, (*b)[at:]); err != nil {
			return err
		}
		ws.Cipher((*b)[at:], mask, done)
		done += part
	}
	return nil
}

// control handles a control frame. Pings are answered here, on the reader, so that they
// never wait for a request (1.8).
func (k *socket) control(r *bufio.Reader, h ws.Header) (end bool, code ws.StatusCode, reason string) {
	payload, err := r.Peek(int(h.Length))
	if err != nil {
		code, reason = k.readError(err)
		return true, code, reason
	}
	ws.Cipher(payload, h.Mask, 0)
	switch h.OpCode {
	case ws.OpPing:
		k.send(frame{bytes: ws.MustCompileFrame(ws.NewPongFrame(payload))})
	case ws.OpPong:
		k.pinged.Store(0)
	case ws.OpClose:
		// Echoed, and then the connection is closed at once: C++ waits for it (1.8).
		code, reason := ws.ParseCloseFrameData(payload)
		answer := closeFrame(code, "")
		if err := ws.CheckCloseFrameData(code, reason); len(payload) > 0 && err != nil {
			answer = closeFrame(ws.StatusProtocolError, err.Error())
		}
		k.send(frame{bytes: answer, last: true})
		return true, 0, ""
	default: // CheckHeader let no other through
	}
	_, _ = r.Discard(len(payload))
	return false, 0, ""
}

// closeFrame makes a close frame; without a body when code is 0.
func closeFrame(code ws.StatusCode, reason string) []byte {
	if code == 0 {
		return ws.CompiledClose
	}
	return ws.MustCompileFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(code, reason)))
}

// textFrame makes a frame of a whole message.
func textFrame(text []byte) []byte {
	b := make([]byte, 0, len(text)+10)
	b = append(b, 0x80|byte(ws.OpText))
	switch n := len(text); {
	case n < 126:
		b = append(b, byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
	return append(b, text...)
}

// send queues a frame, and writes what is queued unless somebody is at it. It tells
// whether the frame was queued.
func (k *socket) send(f frame) bool {
	queued, mine := k.queue(f)
	if mine {
		k.write()
	}
	return queued
}

// sendAside is send for those who must not wait for the peer.
func (k *socket) sendAside(f frame) bool {
	queued, mine := k.queue(f)
	if mine {
		k.server.work.Go(k.write)
	}
	return queued
}

// queue tells whether the frame was queued, and whether the caller must write.
func (k *socket) queue(f frame) (queued, mine bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.deaf {
		return false, false
	}
	// Pushes do not count: they are no more than their inbox held.
	if f.push == nil && k.outBytes+len(f.bytes) > maxOut {
		k.deaf = true
		k.server.counts.dropped.Add(1)
		_ = k.conn.Close() // it does not read what it asked for
		return false, false
	}
	k.deaf = f.final || f.last
	k.ending = f.last
	k.out = append(k.out, f)
	if f.push == nil {
		k.outBytes += len(f.bytes)
	}
	mine = !k.writing
	k.writing = true
	return true, mine
}

// write writes until nothing is queued. One goroutine at a time is here.
func (k *socket) write() {
	for {
		k.mu.Lock()
		batch := k.out
		k.out = nil
		if len(batch) == 0 {
			k.writing = false
			k.mu.Unlock()
			return
		}
		k.mu.Unlock()
		for i, f := range batch {
			if !k.writeOne(f) {
				k.broke(batch[i:])
				return
			}
			if f.push == nil {
				k.mu.Lock()
				k.outBytes -= len(f.bytes)
				k.mu.Unlock()
			}
			if f.last {
				_ = k.conn.Close()
			}
		}
	}
}

func (k *socket) writeOne(f frame) bool {
	if err := k.conn.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return false
	}
	_, err := k.conn.Write(f.bytes)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		k.server.counts.dropped.Add(1)
		k.server.logDropped(k, "it does not read")
	}
	if err != nil {
		return false
	}
	_ = k.conn.SetWriteDeadline(time.Time{})
	return true
}

// broke ends a socket that could not be written to, and returns its pushes.
func (k *socket) broke(unsent []frame) {
	_ = k.conn.Close()
	k.mu.Lock()
	k.deaf = true
	unsent = append(unsent, k.out...)
	k.out = nil
	k.writing = false
	k.mu.Unlock()
	var pushes []compute.Message
	for _, f := range unsent {
		if f.push != nil {
			pushes = append(pushes, *f.push)
		}
	}
	k.server.putBack(pushes)
}

// open tells whether frames can be queued.
func (k *socket) open() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return !k.deaf
}

// dismiss ends a socket with a close frame. The peer has closeTime to answer it.
func (k *socket) dismiss(code ws.StatusCode, reason string) {
	k.sendAside(frame{bytes: closeFrame(code, reason), final: true})
	k.server.doom(k, closeTime, cutOff)
}

// restart ends a socket with 1012 as soon as no request of it runs.
func (k *socket) restart() {
	k.mu.Lock()
	k.leaving = true
	k.waiting, k.held = nil, 0
	idle := k.running == 0
	k.mu.Unlock()
	if idle {
		k.sendRestart()
	}
}

func (k *socket) sendRestart() {
	if !k.sendAside(frame{bytes: closeFrame(statusServiceRestart, "the server restarts"), last: true}) {
		_ = k.conn.Close()
	}
}

// request takes a message in: it runs at once, or waits for one of those that run, or is
// refused. It does not block.
func (k *socket) request(message *[]byte) {
	k.server.counts.requests.Add(1)
	k.mu.Lock()
	switch {
	case k.leaving:
		k.mu.Unlock()
		putBuffer(message)
		return
	case k.running < maxRunning:
		k.running++
		k.mu.Unlock()
		k.server.work.Go(func() { k.run(message) })
		return
	case len(k.waiting) < maxWaiting && k.held+len(*message) <= maxHeld:
		k.waiting = append(k.waiting, message)
		k.held += len(*message)
		k.mu.Unlock()
		return
	}
	k.mu.Unlock()
	k.turnAway(*message, tooMany)
	putBuffer(message)
}

// run answers a message, then those that wait, until none is left.
func (k *socket) run(message *[]byte) {
	for message != nil {
		k.server.counts.running.Add(1)
		ctx, cancel := context.WithTimeout(k.server.base, requestTime)
		k.handle(ctx, *message)
		cancel()
		putBuffer(message)
		k.server.counts.running.Add(-1)
		message = k.next()
	}
}

// next is the message that waits longest, or nil.
func (k *socket) next() *[]byte {
	k.mu.Lock()
	if len(k.waiting) > 0 {
		defer k.mu.Unlock()
		message := k.waiting[0]
		if k.waiting = k.waiting[1:]; len(k.waiting) == 0 {
			k.waiting = nil
		}
		k.held -= len(*message)
		return message
	}
	k.running--
	done := k.leaving && k.running == 0
	k.mu.Unlock()
	if done {
		k.sendRestart()
	}
	return nil
}
