// Package revocation refuses tokens that are good by themselves and were revoked.
package revocation
