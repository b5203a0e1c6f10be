package app

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
)

// explain answers with a room's explanation of the thing that the path names.
func explain[E any](a *App, of func(ctx context.Context, id string) (E, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		e, err := of(r.Context(), r.PathValue("id"))
		if missing, ok := errors.AsType[*types.NotFoundException](err); ok {
			sayJSON(w, http.StatusNotFound, map[string]string{"error": missing.ErrorMessage()})
			return
		}
		if err != nil {
			a.logger.Error("not explained", slog.String("path", r.URL.Path), slog.Any("error", err))
			sayJSON(w, http.StatusInternalServerError, map[string]string{"error": "the explanation could not be read; the log says why"})
			return
		}
		sayJSON(w, http.StatusOK, e)
	}
}
