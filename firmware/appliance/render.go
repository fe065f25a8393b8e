package main

import (
	"fmt"
	"net/netip"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Where what is made of the configuration lies. All of it is made anew at each boot.
const (
	networkFolder = "/run/systemd/network/"
	ownFolder     = "/run/appliance/"
)

// render gives the files that a configuration comes to, by path.
func render(c *Config) (map[string]string, error) {
	sensor, err := yaml.Marshal(&c.Sensor)
	if err != nil {
		return nil, err
	}
	files := map[string]string{
		networkFolder + "10-uplink.network": uplinkNetwork(c),
		ownFolder + "nftables.conf":         firewall(c),
		ownFolder + "chrony.conf":           chrony(c),
		ownFolder + "resolv.conf":           resolver(c),
		ownFolder + "simtrapd.yaml":         string(sensor),
	}
	if c.PTP != nil {
		files[ownFolder+"timemaster.conf"] = timemaster(c)
	}
	for _, tap := range c.taps {
		files[networkFolder+"20-tap-"+tap+".network"] = tapNetwork(tap)
	}
	return files, nil
}

func uplinkNetwork(c *Config) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[Match]\nName=%s\n\n[Network]\nLLMNR=no\nMulticastDNS=no\nLLDP=no\nEmitLLDP=no\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n", c.Uplink.Port)
	if c.Uplink.Address == dhcp {
		b.WriteString("DHCP=ipv4\n")
	} else {
		fmt.Fprintf(&b, "Address=%s\n", c.Uplink.Address)
	}
	if c.Uplink.Gateway != "" {
		fmt.Fprintf(&b, "Gateway=%s\n", c.Uplink.Gateway)
	}
	return b.String()
}

// tapNetwork brings a port up that has no address and says nothing: no ARP, no IPv6,
// no announcements. The firewall drops what would leave it all the same.
func tapNetwork(port string) string {
	return "[Match]\nName=" + port + "\n\n[Link]\nARP=no\nMulticast=no\nRequiredForOnline=no\n\n[Network]\n" +
		"LinkLocalAddressing=no\nIPv6AcceptRA=no\nDHCP=no\nLLDP=no\nEmitLLDP=no\nLLMNR=no\nMulticastDNS=no\n"
}

// firewall lets out what the hub, names and the time need, and in what answers that.
// Whatever is to leave a tap port is dropped behind everything that could send it,
// packet sockets included.
func firewall(c *Config) string {
	var b strings.Builder
	port := c.Uplink.Port
	b.WriteString("flush ruleset\ntable inet appliance {\n")
	b.WriteString("\tchain in {\n\t\ttype filter hook input priority filter; policy drop;\n\t\tiif lo accept\n")
	fmt.Fprintf(&b, "\t\tiifname %q ct state established,related accept\n", port)
	fmt.Fprintf(&b, "\t\tiifname %q icmp type echo-request limit rate 10/second accept\n", port)
	fmt.Fprintf(&b, "\t\tiifname %q icmpv6 type { echo-request, nd-neighbor-solicit, nd-neighbor-advert } limit rate 10/second accept\n", port)
	if c.Uplink.Address == dhcp {
		fmt.Fprintf(&b, "\t\tiifname %q udp sport 67 udp dport 68 accept\n", port)
	}
	if c.hasPTP(overUDP) {
		// It comes to many at once, whom switches know by IGMP; what these ask is heard too.
		fmt.Fprintf(&b, "\t\tiifname %q ip protocol igmp limit rate 10/second accept\n", port)
		fmt.Fprintf(&b, "\t\tiifname %q udp dport { 319, 320 } limit rate 4000/second burst 1000 packets accept\n", port)
	}
	b.WriteString("\t}\n\tchain out {\n\t\ttype filter hook output priority filter; policy drop;\n\t\toif lo accept\n")
	fmt.Fprintf(&b, "\t\toifname %q ct state established,related accept\n", port)
	fmt.Fprintf(&b, "\t\toifname %q icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept\n", port)
	fmt.Fprintf(&b, "\t\toifname %q udp dport 123 accept\n", port)
	if c.hasPTP(overUDP) {
		fmt.Fprintf(&b, "\t\toifname %q ip protocol igmp accept\n", port)
		fmt.Fprintf(&b, "\t\toifname %q udp dport { 319, 320 } accept\n", port)
	}
	for _, s := range c.Uplink.DNS {
		family := "ip"
		if netip.MustParseAddr(s).Is6() {
			family = "ip6"
		}
		fmt.Fprintf(&b, "\t\toifname %q %s daddr %s meta l4proto { tcp, udp } th dport 53 accept\n", port, family, s)
	}
	if c.Uplink.Address == dhcp {
		fmt.Fprintf(&b, "\t\toifname %q udp sport 68 udp dport 67 accept\n", port)
	}
	if c.Hub.Address != "" {
		fmt.Fprintf(&b, "\t\toifname %q tcp dport %s accept\n", port, c.Hub.Address[strings.LastIndexByte(c.Hub.Address, ':')+1:])
	}
	b.WriteString("\t}\n\tchain forward {\n\t\ttype filter hook forward priority filter; policy drop;\n\t}\n}\n")
	b.WriteString("table netdev appliance {\n")
	for i, tap := range c.taps {
		fmt.Fprintf(&b, "\tchain tap%d {\n\t\ttype filter hook egress device %q priority 0; policy drop;\n\t}\n", i, tap)
	}
	b.WriteString("}\n")
	return b.String()
}

func chrony(c *Config) string {
	var b strings.Builder
	for _, s := range c.Time {
		fmt.Fprintf(&b, "server %s iburst\n", s)
	}
	// It serves nobody and is commanded over its socket alone.
	b.WriteString("driftfile /var/lib/chrony/drift\nmakestep 1 3\nrtcsync\nport 0\ncmdport 0\nuser _chrony\n")
	return b.String()
}

// timemaster has ptp4l, and phc2sys where the uplink has a clock, measure against the
// master, and chronyd compare and follow that as it does servers: the master comes first
// while it can be believed.
func timemaster(c *Config) string {
	transport := "UDPv4"
	if c.hasPTP(overL2) {
		transport = "L2"
	}
	return fmt.Sprintf("[timemaster]\nrundir /run/timemaster\n\n[ptp_domain %d]\ninterfaces %s\nntp_options prefer\nptp4l_option network_transport %s\n\n"+
		"[ptp4l]\npath /usr/sbin/ptp4l\n\n[phc2sys]\npath /usr/sbin/phc2sys\n\n[chronyd]\npath /usr/sbin/chronyd\noptions -F 1\n\n[chrony.conf]\n%s",
		c.PTP.Domain, c.Uplink.Port, transport, chrony(c))
}

func (c *Config) hasPTP(transport string) bool { return c.PTP != nil && c.PTP.Transport == transport }

func resolver(c *Config) string {
	var b strings.Builder
	for _, s := range c.Uplink.DNS {
		fmt.Fprintf(&b, "nameserver %s\n", s)
	}
	return b.String()
}
