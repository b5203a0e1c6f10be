package fleet

import (
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/apierr"
)

// checkRuntime holds the sum of all ConcurrentExecutions to the quota (hosting.md 2.8).
// Where launch paths begin is not checked: that rule is about the images of managed hosts.
func (s *Service) checkRuntime(r *types.RuntimeConfiguration) error {
	if r == nil {
		return nil
	}
	var sum int64
	for _, p := range r.ServerProcesses {
		sum += int64(*p.ConcurrentExecutions)
	}
	if quota := s.Quotas.orDefaults().ProcessesPerInstance; sum > int64(quota) {
		return apierr.LimitExceeded("RuntimeConfiguration.ServerProcesses: ConcurrentExecutions add up to %d, and the quota is %d", sum, quota)
	}
	return nil
}
