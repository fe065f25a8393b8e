package sensor

import (
	"io"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"simtrap/sensor/config"
)

// maxMessages bounds the messages that are told apart. They are texts of this
// program, so there are not as many; what a stranger sends is in their fields.
const maxMessages = 1024

// Logger logs with a limit for each message.
type Logger struct {
	*zap.Logger
	level   zap.AtomicLevel
	limiter *limiter
}

// NewLogger writes to w what the configuration asks for.
func NewLogger(w io.Writer, c *config.Log) *Logger {
	l := &Logger{level: zap.NewAtomicLevel(), limiter: &limiter{seen: make(map[string]*burst)}}
	encoding := zap.NewProductionEncoderConfig()
	encoding.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	encoding.EncodeDuration = zapcore.StringDurationEncoder
	encoder := zapcore.NewConsoleEncoder(encoding)
	if c.Format == config.FormatJSON {
		encoder = zapcore.NewJSONEncoder(encoding)
	}
	core := zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(w)), l.level)
	l.Logger = zap.New(limited{core, l.limiter})
	l.Set(c)
	return l
}

// Set takes over level and limit.
func (l *Logger) Set(c *config.Log) {
	level, err := zapcore.ParseLevel(string(c.Level))
	if err != nil {
		level = zapcore.InfoLevel
	}
	l.level.SetLevel(level)
	l.limiter.mu.Lock()
	l.limiter.burst, l.limiter.every = c.Burst, time.Duration(c.Every)
	l.limiter.mu.Unlock()
}

// Suppressed counts what was not logged.
func (l *Logger) Suppressed() uint64 { return l.limiter.total.Load() }

// Sweep says of messages whose time is over how often they were left out.
func (l *Logger) Sweep() {
	for _, x := range l.limiter.sweep(time.Now()) {
		l.Warn("left out of the log", zap.String("message", x.message), zap.Int("times", x.left))
	}
}

// limiter counts messages.
type limiter struct {
	mu    sync.Mutex
	burst int
	every time.Duration
	seen  map[string]*burst
	total atomic.Uint64
}

type burst struct {
	since       time.Time
	count, left int
}

type leftOut struct {
	message string
	left    int
}

// allow tells whether a message is to be logged now.
func (l *limiter) allow(message string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.seen[message]
	if b == nil {
		if len(l.seen) >= maxMessages {
			message = "" // all others are one
			b = l.seen[message]
		}
		if b == nil {
			b = &burst{since: now}
			l.seen[message] = b
		}
	}
	if now.Sub(b.since) >= l.every && b.left == 0 {
		b.since, b.count = now, 0
	}
	if b.count < l.burst {
		b.count++
		return true
	}
	b.left++
	l.total.Add(1)
	return false
}

// sweep forgets messages whose time is over, and gives those of which something
// was left out.
func (l *limiter) sweep(now time.Time) []leftOut {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []leftOut
	for message, b := range l.seen {
		if now.Sub(b.since) < l.every {
			continue
		}
		if b.left > 0 {
			out = append(out, leftOut{message, b.left})
		}
		delete(l.seen, message)
	}
	return out
}

// limited is a core that asks the limiter.
type limited struct {
	zapcore.Core
	limiter *limiter
}

func (c limited) With(f []zapcore.Field) zapcore.Core { return limited{c.Core.With(f), c.limiter} }

func (c limited) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if !c.Enabled(e.Level) || !c.limiter.allow(e.Message, e.Time) {
		return ce
	}
	return ce.AddCore(e, c.Core)
}
