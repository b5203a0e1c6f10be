package fleet

import (
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/store"
)

// PlacesTx are the locations of a fleet and their states, in the order of arrival.
func (s *Service) PlacesTx(tx *store.Tx, f Fleet) ([]types.LocationState, error) {
	return locationsOf(tx, f)
}
