"""Times pywinrm at what the agent does in one check of a server: the same scripts, fed the same way.

Reads {"url", "user", "password", "bootstrap": ENCODED COMMAND, "scripts": [TEXT], "rounds": N} from standard input and
writes {"milliseconds": [...]}, one number a round. Every script has a shell of its own, as with the agent; the session
and its connections are kept.
"""

import json
import sys
import time
from base64 import b64encode

from winrm.protocol import Protocol


def round_of(protocol, bootstrap, scripts):
    for script in scripts:
        shell = protocol.open_shell(codepage=65001)
        command = protocol.run_command(
            shell, "powershell.exe", ["-NoProfile", "-NonInteractive", "-EncodedCommand", bootstrap]
        )
        protocol.send_command_input(shell, command, b64encode(script.encode()), end=True)
        stdout, stderr, code = protocol.get_command_output(shell, command)
        protocol.cleanup_command(shell, command)
        protocol.close_shell(shell)
        if code != 0 or b'"schema":1' not in stdout:
            raise SystemExit(f"exit code {code}: {stdout[:300]!r} {stderr[:300]!r}")


def main():
    asked = json.load(sys.stdin)
    protocol = Protocol(
        endpoint=asked["url"],
        transport="ntlm",
        username=asked["user"],
        password=asked["password"],
        message_encryption="always",
    )
    taken = []
    for _ in range(asked["rounds"]):
        began = time.monotonic()
        round_of(protocol, asked["bootstrap"], asked["scripts"])
        taken.append((time.monotonic() - began) * 1000)
    json.dump({"milliseconds": taken}, sys.stdout)


main()
