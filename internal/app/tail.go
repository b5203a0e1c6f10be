package app

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/awsapi"
	"github.com/matchyard/matchyard/internal/gateway"
	"github.com/matchyard/matchyard/internal/host"
)

// tailOperation is what somebody must be allowed to who looks at a log while it is written:
// later it is what gives the whole.
const tailOperation = "GetGameSessionLogUrl"

// logs answers requests for logs of game sessions that run, and hands all others to next. They
// are at the API's own address, signed as all of the API is: who may fetch a log when it is
// done may look at it before, from wherever the API can be reached; the admin address is the
// machine's own.
func (a *App) logs(api *awsapi.Server, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.URL.Path != gateway.TailPath {
			next.ServeHTTP(w, r)
			return
		}
		if err := a.tail(api, w, r); err != nil {
			a.refuseTail(w, r, err)
		}
	})
}

func (a *App) tail(api *awsapi.Server, w http.ResponseWriter, r *http.Request) error {
	who, err := api.Auth.Authenticate(r, func() ([]byte, error) { return nil, nil })
	if err != nil {
		return err
	}
	if api.Throttle != nil {
		if err := api.Throttle.Take(who.AccessKeyID, tailOperation); err != nil {
			return err
		}
	}
	game := r.URL.Query().Get("session")
	return a.gateway.ServeTail(w, r, arn.GameSessionID(game), func(ctx context.Context) error {
		if api.Authorize == nil {
			return nil
		}
		return api.Authorize(ctx, who, tailOperation, &gamelift.GetGameSessionLogUrlInput{GameSessionId: &game})
	})
}

// refuseTail says in JSON why there is no log.
func (a *App) refuseTail(w http.ResponseWriter, r *http.Request, err error) {
	status, code, text := http.StatusInternalServerError, "InternalFailure", "internal error"
	none, _ := errors.AsType[*host.NoTail](err)
	own, _ := errors.AsType[*apierr.Error](err)
	switch {
	case none != nil:
		status, code, text = http.StatusConflict, string(none.Code), none.Text
		if none.Code == host.TailNotFound {
			status = http.StatusNotFound
		}
	case own != nil:
		status, code, text = own.Status, own.Code, own.Message
	case r.Context().Err() == nil:
		a.logger.LogAttrs(r.Context(), slog.LevelError, "log not shown", slog.Any("error", err))
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"code": code, "message": text}) // an error means that the client is gone
}
