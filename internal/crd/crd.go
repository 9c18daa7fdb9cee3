// Package crd reads the definitions of custom resources, says in what two readings of one differ, and finds out what a definition does to
// custom resources that lived under another.
package crd
