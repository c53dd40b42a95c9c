// Package admin is under construction.
package admin
