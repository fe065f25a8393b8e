package h323

// status gives the final status of SIP that a call has which ended before its
// answer, so that calls of both protocols are counted alike: RFC 3398 section
// 8.2.6.1 for a cause of Q.850.
func status(cause uint8) uint16 {
	switch cause {
	case 1, 2, 3, 26:
		return 404
	case 17:
		return 486
	case 18:
		return 408
	case 16, 19, 20, 31:
		return 480
	case 21, 55, 57, 87:
		return 403
	case 22, 23:
		return 410
	case 27:
		return 502
	case 28:
		return 484
	case 29, 79:
		return 501
	case 34, 38, 41, 42, 47, 58, 88:
		return 503
	case 65, 70:
		return 488
	case 102:
		return 504
	}
	return 500
}

// causeOf gives the cause that stands for a releaseCompleteReason (H.225.0
// section 7.2.2.8, table 5), by its index in the CHOICE.
func causeOf(reason uint8) uint8 {
	causes := [...]uint8{
		34,  // noBandwidth
		47,  // gatekeeperResources
		3,   // unreachableDestination
		16,  // destinationRejection
		88,  // invalidRevision
		127, // noPermission
		38,  // unreachableGatekeeper
		42,  // gatewayResources
		28,  // badFormatAddress
		41,  // adaptiveBusy
		17,  // inConf
		31,  // undefinedReason
		16,  // facilityCallDeflection
		31,  // securityDenied
		20,  // calledPartyNotRegistered
		31,  // callerNotRegistered
	}
	if int(reason) < len(causes) {
		return causes[reason]
	}
	return 31
}
