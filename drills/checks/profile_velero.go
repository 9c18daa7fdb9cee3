package checks

// veleroProfile allows what Velero documents that it does not bring back.
var veleroProfile = profile{
	name: "velero",
}
