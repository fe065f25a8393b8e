package trial
import ("testing";"fmt";"os";"strings";"simtrap/lab";"strconv")
func TestZZ(t *testing.T) {
	b, _ := NewBench()
	for _, n := range strings.Split(os.Getenv("ZZ"), ",") {
		k, _ := strconv.Atoi(os.Getenv("ZN"))
		for s := 1; s <= k; s++ {
			fmt.Fprintln(os.Stderr, "ZS", n, s)
			if _, err := b.Run(t.Context(), lab.Options{Scenario: n, Seed: uint64(s)}); err != nil { t.Fatal(err) }
		}
	}
}
