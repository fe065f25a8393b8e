package door

import (
	"encoding/hex"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"simtrap/hub/policy"
)

// maxUpdating is how many sensors are given bundles at once. The others come again: an
// update is in no hurry, and reports use the same line.
const maxUpdating = 16

// update gives a sensor a bundle that it is offered, or, by a Range (RFC 9110, section
// 14), the rest of one.
func (d *Door) update(w http.ResponseWriter, r *http.Request) {
	at := d.now()
	refuse := func(status int, reason, says string) {
		d.meter.refuse(reason)
		if status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests {
			w.Header().Set("Retry-After", "60")
		}
		http.Error(w, says, status)
	}
	if d.draining.Load() {
		refuse(http.StatusServiceUnavailable, "closing", "the hub is closing")
		return
	}
	id, _, x := d.identify(r.Context(), r.TLS, at)
	if x != nil {
		status := http.StatusForbidden
		if x.reason == "store" {
			status = http.StatusServiceUnavailable
		}
		refuse(status, x.reason, x.says)
		return
	}
	leave, x := d.enter(id.Sensor, at, brief)
	if x != nil {
		refuse(http.StatusTooManyRequests, x.reason, x.says)
		return
	}
	defer leave()
	select {
	case d.updating <- struct{}{}:
		defer func() { <-d.updating }()
	default:
		refuse(http.StatusServiceUnavailable, "updates", "the hub gives as many updates at once as it can")
		return
	}
	latest, err := d.store.LatestPolicy(r.Context())
	if err != nil {
		d.log.Error("which updates are offered was not read", zap.Error(err))
		refuse(http.StatusServiceUnavailable, "store", "the hub's store failed; ask again later")
		return
	}
	for _, o := range policy.Offered(latest.Policy.GetUpdates(), id.Sensor) {
		name := hex.EncodeToString(o.GetSha256())
		if name != r.PathValue("hash") || d.opt.Updates == "" {
			continue
		}
		f, err := os.Open(filepath.Join(d.opt.Updates, name))
		if err != nil {
			// With several hubs, one that was not given it.
			d.log.Error("an update that is offered is not here: simtrap-hub updates add gives it to this hub", zap.Error(err))
			refuse(http.StatusServiceUnavailable, "updates", "this hub does not have it")
			return
		}
		defer f.Close()
		w.Header().Set("Content-Type", "application/octet-stream")
		http.ServeContent(&timed{ResponseWriter: w, c: http.NewResponseController(w), within: d.opt.Write}, r, "", time.Time{}, f)
		return
	}
	refuse(http.StatusNotFound, "updates", "no update that this sensor is offered")
}
