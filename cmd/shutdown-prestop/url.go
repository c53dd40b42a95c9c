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

// callURL starts the shutdown of a service over HTTP and waits for the response.
func callURL(address, tokenFile, token string, wait time.Duration) error {
	if u, err := url.Parse(address); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return usagef("--url %q: not a URL such as http://127.0.0.1:9090/prestop", address)
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
	// The service is in the same pod, so proxies of the environment are not used.
	client := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("POST %s: no response within %v; the shutdown may have started", address, wait)
	} else if err != nil {
		return err // names method and URL
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10)) // without the body, the status is enough
		line, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
		return fmt.Errorf("POST %s: %s: %q", address, resp.Status, line)
	}
	return nil
}
