package command

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// maxPassword is more than any password, bytes.
const maxPassword = 1024

// Password asks for one at the terminal, without showing what is typed, or takes the
// first line of standard input, which must not be longer than a password may be.
func Password(t Terminal, prompt string) (string, error) {
	if f, ok := t.In.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprint(t.Err, prompt)
		password, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(t.Err)
		return string(password), err
	}
	line, err := bufio.NewReader(io.LimitReader(t.In, maxPassword+1)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	line = strings.TrimRight(line, "\r\n")
	switch {
	case line == "":
		return "", errors.New("no password on standard input")
	case len(line) > maxPassword:
		return "", errors.New("the first line of standard input is too long for a password")
	}
	return line, nil
}
