package conformance

// This file is the same in conformance/call_test.go and conformance/oldgo/call.go but for
// its first line: two programs with two versions of the SDK cannot share a package.

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/aws/smithy-go"
)

// callError is how a caller of the SDK sees a failure.
type callError struct {
	Code    string `json:"code"`
	Class   string `json:"class"` // the exception's type, as errors.As finds it; "" for others
	Message string `json:"message"`
	Status  int    `json:"status"`
	Request string `json:"request"`
}

// callSDK calls a method of an SDK client by its name, with parameters in plain form: a
// time is {"$ms": milliseconds}.
func callSDK(ctx context.Context, client any, op string, params map[string]any) (map[string]any, error) {
	method := reflect.ValueOf(client).MethodByName(op)
	if !method.IsValid() {
		return nil, fmt.Errorf("this SDK has no %s", op)
	}
	in := reflect.New(method.Type().In(1).Elem())
	text, err := json.Marshal(given(params))
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, in.Interface()); err != nil {
		return nil, fmt.Errorf("parameters of %s: %w", op, err)
	}
	out := method.Call([]reflect.Value{reflect.ValueOf(ctx), in})
	if err, _ := reflect.TypeAssert[error](out[1]); err != nil {
		return nil, err
	}
	return plain(out[0].Elem()).(map[string]any), nil
}

// given makes a parameter such that encoding/json reads it into the SDK's types.
func given(value any) any {
	switch v := value.(type) {
	case map[string]any:
		if ms, ok := v["$ms"]; ok && len(v) == 1 {
			whole, _ := strconv.ParseInt(fmt.Sprint(ms), 10, 64)
			return time.UnixMilli(whole).UTC().Format(time.RFC3339Nano)
		}
		if text, ok := v["$bytes"]; ok && len(v) == 1 {
			return text
		}
		all := make(map[string]any, len(v))
		for name, member := range v {
			all[name] = given(member)
		}
		return all
	case []any:
		all := make([]any, len(v))
		for i, item := range v {
			all[i] = given(item)
		}
		return all
	}
	return value
}

// plain makes the plain form of the SDK's types. What is not set is left out.
func plain(v reflect.Value) any {
	switch v.Kind() {
	case reflect.Pointer:
		return plain(v.Elem())
	case reflect.Struct:
		if t, ok := reflect.TypeAssert[time.Time](v); ok {
			return map[string]any{"$ms": milliseconds(t)}
		}
		members := map[string]any{}
		for i := range v.NumField() {
			field := v.Type().Field(i)
			member := v.Field(i)
			if !field.IsExported() || field.Name == "ResultMetadata" || !set(member) {
				continue
			}
			members[field.Name] = plain(member)
		}
		return members
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return map[string]any{"$bytes": base64.StdEncoding.EncodeToString(v.Bytes())}
		}
		items := make([]any, v.Len())
		for i := range items {
			items[i] = plain(v.Index(i))
		}
		return items
	case reflect.Map:
		members := map[string]any{}
		for _, key := range v.MapKeys() {
			members[key.String()] = plain(v.MapIndex(key))
		}
		return members
	case reflect.String:
		return v.String()
	case reflect.Int32, reflect.Int64:
		return v.Int()
	case reflect.Float32, reflect.Float64:
		return v.Float()
	}
	return v.Interface()
}

func set(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		return !v.IsNil()
	case reflect.String:
		return v.Len() > 0 // an enum, "" when unset
	}
	return true
}

func milliseconds(t time.Time) any {
	if t.Nanosecond()%int(time.Millisecond) == 0 {
		return t.UnixMilli()
	}
	return float64(t.UnixMicro()) / 1000
}

// asCallError tells what a caller can learn of an error. What it is of: errors.As with the
// exception's own type is the same as the dynamic type of the API error, since every
// generated exception is a pointer to its own struct.
func asCallError(err error) *callError {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return &callError{Message: err.Error()}
	}
	e := &callError{Code: api.ErrorCode(), Message: api.ErrorMessage()}
	t := reflect.TypeOf(api)
	if t.Kind() == reflect.Pointer && strings.HasSuffix(t.Elem().PkgPath(), "service/gamelift/types") {
		e.Class = t.Elem().Name()
	}
	var status interface{ HTTPStatusCode() int }
	if errors.As(err, &status) {
		e.Status = status.HTTPStatusCode()
	}
	var request interface{ ServiceRequestID() string }
	if errors.As(err, &request) {
		e.Request = request.ServiceRequestID()
	}
	return e
}
