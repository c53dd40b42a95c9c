package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// callURL begins the shutdown of a service over HTTP, and waits for its answer.
func callURL(address, tokenFile, token string, wait time.Duration) error {
	if u, err := url.Parse(address); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return usagef("--url %q: it is not like http://127.0.0.1:9090/prestop", address)
	}
	if tokenFile != "" {
		text, err := os.ReadFile(tokenFile)
		if err != nil {
			return fmt.Errorf("--token-file: %w", err)
		}
		token = string(text)
	}
	token, _, _ = strings.Cut(token, "\n")
	token = strings.TrimSpace(token)
	if tokenFile != "" && token == "" {
		return fmt.Errorf("--token-file: the first line of %s is empty", tokenFile)
	}

	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, nil)
	if err != nil {
		return usagef("--url: %v", err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	// No proxy, whatever the environment says: this is for the pod itself.
	client := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("POST %s: no answer within %v; the service may have been told", address, wait)
	} else if err != nil {
		return err // says method and URL itself
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10)) // the status says enough
		line, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
		return fmt.Errorf("POST %s: %s: %q", address, resp.Status, line)
	}
	return nil
}
