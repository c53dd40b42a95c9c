package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/gracefulgo/shutdown"
)

// A manifest has what the tests need of any object in kubernetes.yaml.
type manifest struct {
	Kind string
	Spec struct {
		Template struct {
			Metadata struct{ Annotations map[string]string }
			Spec     struct {
				TerminationGracePeriodSeconds int `yaml:"terminationGracePeriodSeconds"`
				Containers                    []container
				Volumes                       []struct{ Name string }
				SecurityContext               struct {
					RunAsUser  int `yaml:"runAsUser"`
					RunAsGroup int `yaml:"runAsGroup"`
				} `yaml:"securityContext"`
			}
		}
		Ports []struct { // of a Service
			Port       int
			TargetPort string `yaml:"targetPort"`
		}
	}
}

type container struct {
	WorkingDir string `yaml:"workingDir"`
	Env        []struct{ Name, Value string }
	Ports      []struct {
		Name          string
		ContainerPort int `yaml:"containerPort"`
	}
	StartupProbe   probe `yaml:"startupProbe"`
	ReadinessProbe probe `yaml:"readinessProbe"`
	LivenessProbe  probe `yaml:"livenessProbe"`
	VolumeMounts   []struct {
		Name      string
		MountPath string `yaml:"mountPath"`
	} `yaml:"volumeMounts"`
}

type probe struct {
	HTTPGet          struct{ Path, Port string } `yaml:"httpGet"`
	PeriodSeconds    int                         `yaml:"periodSeconds"`
	FailureThreshold int                         `yaml:"failureThreshold"`
}

func readManifests(t *testing.T) (text string, all map[string]manifest) {
	t.Helper()
	file, err := os.ReadFile("kubernetes.yaml")
	require.NoError(t, err)
	all = make(map[string]manifest)
	d := yaml.NewDecoder(bytes.NewReader(file))
	for {
		var m manifest
		if err := d.Decode(&m); err != nil {
			require.ErrorIs(t, err, io.EOF)
			return string(file), all
		}
		all[m.Kind] = m
	}
}

func TestTheGracePeriodOfTheManifestIsThatOfTheProgram(t *testing.T) {
	text, all := readManifests(t)
	pod := all["Deployment"].Spec.Template.Spec
	env := make(map[string]string)
	for _, v := range pod.Containers[0].Env {
		env[v.Name] = v.Value
		t.Setenv(v.Name, v.Value)
	}
	require.Equal(t, strconv.Itoa(pod.TerminationGracePeriodSeconds), env["SHUTDOWN_GRACE_PERIOD"])

	m, err := shutdown.New(shutdown.Config{Signals: shutdown.NoSignals()})
	require.NoError(t, err)
	r := m.Report()
	workEnds := r.Timeout - r.Reserve - min(2*time.Second, (r.Timeout-r.Reserve-r.LameDuck)/5)
	for _, at := range []time.Duration{r.LameDuck, workEnds, r.Timeout - r.Reserve, r.Timeout, r.GracePeriod} {
		require.Regexp(t, fmt.Sprintf(`(?m)^# +%v s `, at.Seconds()), text)
	}
	require.Contains(t, text, fmt.Sprintf("%v s, a fifth of %v s,", r.Reserve.Seconds(), r.Timeout.Seconds()))
	require.Contains(t, text, fmt.Sprintf("%v s (from ", (workEnds-r.LameDuck).Seconds()))

	readiness := pod.Containers[0].ReadinessProbe
	require.Less(t, time.Duration(readiness.PeriodSeconds*readiness.FailureThreshold)*time.Second, r.LameDuck)
}

func TestThePortsAndPathsOfTheManifestAreThoseOfTheProgram(t *testing.T) {
	_, all := readManifests(t)
	pod := all["Deployment"].Spec.Template
	c := pod.Spec.Containers[0]
	require.Len(t, c.Ports, 3)
	for _, p := range c.Ports {
		require.Equal(t, flag.Lookup(p.Name).DefValue, fmt.Sprint(":", p.ContainerPort))
	}
	require.Equal(t, flag.Lookup("admin").DefValue, ":"+pod.Metadata.Annotations["prometheus.io/port"])
	require.Len(t, all["Service"].Spec.Ports, 2)
	for _, p := range all["Service"].Spec.Ports {
		require.Equal(t, flag.Lookup(p.TargetPort).DefValue, fmt.Sprint(":", p.Port))
	}
	for path, p := range map[string]probe{"/readyz": c.ReadinessProbe, "/livez": c.LivenessProbe} {
		require.Equal(t, "admin", p.HTTPGet.Port)
		require.Equal(t, path, p.HTTPGet.Path)
	}
	require.Equal(t, c.ReadinessProbe.HTTPGet, c.StartupProbe.HTTPGet)

	// The record has a relative path.
	require.Equal(t, c.WorkingDir, c.VolumeMounts[0].MountPath)
	require.Equal(t, pod.Spec.Volumes[0].Name, c.VolumeMounts[0].Name)

	dockerfile, err := os.ReadFile("Dockerfile")
	require.NoError(t, err)
	var ports []string
	for _, p := range c.Ports {
		ports = append(ports, strconv.Itoa(p.ContainerPort))
	}
	require.Contains(t, string(dockerfile), "\nEXPOSE "+strings.Join(ports, " ")+"\n")
	user := pod.Spec.SecurityContext
	require.Contains(t, string(dockerfile), fmt.Sprintf("\nUSER %d:%d\n", user.RunAsUser, user.RunAsGroup))
}
