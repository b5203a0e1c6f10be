package app

import (
	"net/http"

	"github.com/matchyard/matchyard/internal/awsapi"
	"github.com/matchyard/matchyard/internal/sigv4"
	"github.com/matchyard/matchyard/internal/sts"
	"github.com/matchyard/matchyard/internal/webhook"
)

// identities answers those who ask whose credentials they have, and hands all other requests
// to next. It takes signatures for any region: clients do not agree on STS's.
func (a *App) identities(next http.Handler, throttle *awsapi.Throttle) http.Handler {
	s := &sts.Server{
		Account: a.config.Account, Auth: awsapi.Anyone{}, Logger: a.logger, Throttle: throttle, Failed: a.console.Failed,
		Observe: a.observe,
	}
	if a.signed != nil {
		s.Auth = &awsapi.Signed{Keys: a.keys, Verifier: &sigv4.Verifier{Services: []string{sts.SigningName}, Query: true}, Logger: a.logger}
	}
	return s.Handler(next, webhook.ConfirmSubscription)
}
