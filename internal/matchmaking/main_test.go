package matchmaking_test

import (
	"github.com/matchyard/matchyard/internal/arn"
)

var home = arn.Home{Region: "us-west-2", Account: "123456789012"}

const (
	invalid   = "InvalidRequestException"
	missing   = "NotFoundException"
	overLimit = "LimitExceededException"
	tagging   = "TaggingFailedException"
)
