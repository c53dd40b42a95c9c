//go:build linux

package kubernetes

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// As iptables-save prints it, shortened.
const natTable = `*nat
-A KUBE-SEP-7NBWMTHNJZDZUYLX -p tcp -m comment --comment "a/orders:http" -m tcp -j DNAT --to-destination 198.18.64.5:8080
-A KUBE-SERVICES -d 198.18.129.12/32 -p tcp -m comment --comment "a/orders:http cluster IP" -m tcp --dport 8080 -j KUBE-SVC-R2QRXSVQHLRWP2WG
-A KUBE-SERVICES -d 198.18.129.126/32 -p tcp -m comment --comment "b/orders:http cluster IP" -m tcp --dport 8080 -j KUBE-SVC-P5JTRBAHSGOQPXL5
-A KUBE-SERVICES -d 198.18.129.126/32 -p tcp -m comment --comment "b/orders:grpc cluster IP" -m tcp --dport 9090 -j KUBE-SVC-ZRX5DKCRXTKWGSJP
-A KUBE-SVC-R2QRXSVQHLRWP2WG ! -s 198.18.64.0/20 -d 198.18.129.12/32 -p tcp -m comment --comment "a/orders:http cluster IP" -m tcp --dport 9090 -j KUBE-MARK-MASQ
COMMIT
`

func TestAServiceIsReadyWhenTheRulesSendEachPortOn(t *testing.T) {
	require.True(t, sendsOn(natTable, "198.18.129.126", "8080"))
	require.True(t, sendsOn(natTable, "198.18.129.126", "9090"))
	require.True(t, sendsOn(natTable, "198.18.129.12", "8080"))
	require.False(t, sendsOn(natTable, "198.18.129.12", "9090"), "this rule only marks")
	require.False(t, sendsOn(natTable, "198.18.129.1", "8080"), "the start of another address")
	require.False(t, sendsOn(natTable, "198.18.129.126", "80"), "the start of another port")
}
