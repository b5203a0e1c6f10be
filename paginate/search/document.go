package search

import (
	"net/http"
	"reflect"
	"strings"
	"time"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// document turns a value of the SDK into the tree that boto3 has in its place.
// It gives nil for what is unset: nil pointers, lists and maps, and enumerations
// that are empty.
func document(v reflect.Value) any {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return nil
		}
		if text := v.Elem(); text.Kind() == reflect.String {
			return text.String() // set, though perhaps empty
		}
		return document(v.Elem())
	case reflect.Struct:
		if t, ok := reflect.TypeAssert[time.Time](v); ok {
			return t
		}
		return object(v)
	case reflect.Slice:
		if v.IsNil() {
			return nil
		}
		if blob, ok := reflect.TypeAssert[[]byte](v); ok {
			return blob
		}
		list := make([]any, v.Len())
		for i := range list {
			list[i] = element(v.Index(i))
		}
		return list
	case reflect.Map:
		if v.IsNil() {
			return nil
		}
		members := make(map[string]any, v.Len())
		for entry := v.MapRange(); entry.Next(); {
			members[entry.Key().String()] = element(entry.Value())
		}
		return members
	case reflect.String:
		if v.Len() == 0 {
			return nil
		}
		return v.String()
	case reflect.Bool:
		return v.Bool()
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return float64(v.Int())
	case reflect.Float32, reflect.Float64:
		return v.Float()
	default:
		return v.Interface()
	}
}

// element is document for what stands in a list or map, where an empty string is
// a value.
func element(v reflect.Value) any {
	if v.Kind() == reflect.String {
		return v.String()
	}
	return document(v)
}

// object turns a structure into its set members.
func object(v reflect.Value) map[string]any {
	members := make(map[string]any, v.NumField())
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if !field.IsExported() || field.Anonymous {
			continue
		}
		if meta, ok := reflect.TypeAssert[middleware.Metadata](v.Field(i)); ok {
			if response := responseMetadata(meta); len(response) > 0 {
				members["ResponseMetadata"] = response
			}
			continue
		}
		if member := document(v.Field(i)); member != nil {
			members[field.Name] = member
		}
	}
	return members
}

// responseMetadata is what boto3 says of the HTTP response.
func responseMetadata(meta middleware.Metadata) map[string]any {
	response := map[string]any{}
	if id, ok := awsmiddleware.GetRequestIDMetadata(meta); ok {
		response["RequestId"] = id
	}
	var raw *http.Response
	switch r := awsmiddleware.GetRawResponse(meta).(type) {
	case *http.Response:
		raw = r
	case *smithyhttp.Response:
		raw = r.Response
	}
	if raw != nil {
		response["HTTPStatusCode"] = float64(raw.StatusCode)
		headers := make(map[string]any, len(raw.Header))
		for name, values := range raw.Header {
			headers[strings.ToLower(name)] = strings.Join(values, ", ")
		}
		response["HTTPHeaders"] = headers
	}
	if attempts, ok := retry.GetAttemptResults(meta); ok {
		response["RetryAttempts"] = float64(len(attempts.Results) - 1)
	}
	return response
}
