"""A WinRM server over plain HTTP whose NTLM is pyspnego's: a peer for the agent that shares no code with winsim.

    serve.py ADDRESS CREDENTIALS LOG

CREDENTIALS is pyspnego's store, one DOMAIN:USER:PASSWORD a line. Prints {"port": N} when it serves, ends with its
standard input. LOG gets one line of JSON a request: what it carried and how. Only sealed bodies are carried out. The
detect phases that the agent makes are answered by what the script, which comes over standard input, says it is; no
script is run.
"""

import base64
import json
import os
import re
import struct
import sys
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from xml.etree import ElementTree

SOAP = "http://www.w3.org/2003/05/soap-envelope"
ADDRESSING = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
WSMAN = "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"
TRANSFER = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
SHELL = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
CMD = SHELL + "/cmd"
SEALED = 'multipart/encrypted;protocol="application/HTTP-SPNEGO-session-encrypted";boundary="Encrypted Boundary"'
HEAD = (
    b"--Encrypted Boundary\r\n"
    b"\tContent-Type: application/HTTP-SPNEGO-session-encrypted\r\n"
    b"\tOriginalContent: type=application/soap+xml;charset=UTF-8;Length=%d\r\n"
    b"--Encrypted Boundary\r\n"
    b"\tContent-Type: application/octet-stream\r\n"
)
LAYOUT = re.compile(re.escape(HEAD).replace(b"%d", rb"(\d+)"))
TAIL = b"--Encrypted Boundary--\r\n"

log_lock = threading.Lock()
# What came over the standard input of each command, and those whose input has ended.
commands = {}
ended = set()


def note(**what):
    with log_lock, open(sys.argv[3], "a", encoding="utf-8") as log:
        log.write(json.dumps(what) + "\n")


def observed(runbook, script):
    if runbook == "RB-WIN-FIREWALL-001":
        profiles = {"Domain": "True", "Private": "True", "Public": "True"}
        return {"firewall_enabled": True, "profiles": profiles, "service_running": True, "winrm_inbound_allowed": True}
    if runbook != "RB-WIN-SVC-001":
        return {}
    # The sweep's own list of services, all of them well.
    names = sorted(set(re.findall(r"'([A-Za-z0-9]+)'", script)))
    services = [{"name": name, "installed": True, "running": True, "start_type": "Automatic"} for name in names]
    return {"services": services}


def report(script):
    runbook = re.search(r"runbook = '([A-Z0-9-]+)'", script).group(1)
    phase = re.search(r"^Write-Result '([a-z]+)'", script, re.M).group(1)
    result = {
        "schema": 1,
        "runbook": runbook,
        "phase": phase,
        "status": "compliant",
        "observed": observed(runbook, script),
        "reasons": [],
        "changed": False,
        "reboot_required": False,
    }
    return (json.dumps(result) + "\r\n").encode()


def command_line(body):
    """The command's identifier, if the client chose one, and the script on its command line."""
    line = body.find(f"{{{SHELL}}}CommandLine")
    words = [line.find(f"{{{SHELL}}}Command").text]
    words += [argument.text for argument in line.findall(f"{{{SHELL}}}Arguments")]
    encoded = re.search(r"-EncodedCommand\s+(\S+)", " ".join(words), re.I).group(1)
    return line.get("CommandId"), base64.b64decode(encoded).decode("utf-16-le")


def carry_out(envelope):
    """Body of the answer, its action, and the action that was asked for."""
    header, body = envelope.find(f"{{{SOAP}}}Header"), envelope.find(f"{{{SOAP}}}Body")
    action = header.find(f"{{{ADDRESSING}}}Action").text.strip()
    if action == TRANSFER + "/Create":
        shell = str(uuid.uuid4()).upper()
        text = (
            f"<x:ResourceCreated><a:ReferenceParameters><w:ResourceURI>{CMD}</w:ResourceURI><w:SelectorSet>"
            f'<w:Selector Name="ShellId">{shell}</w:Selector></w:SelectorSet></a:ReferenceParameters>'
            f"</x:ResourceCreated><rsp:Shell><rsp:ShellId>{shell}</rsp:ShellId></rsp:Shell>"
        )
    elif action == SHELL + "/Command":
        identifier, script = command_line(body)
        if "$input" not in script:
            raise ValueError("the script on the command line does not read standard input")
        identifier = identifier or str(uuid.uuid4()).upper()
        commands[identifier] = b""
        text = f"<rsp:CommandResponse><rsp:CommandId>{identifier}</rsp:CommandId></rsp:CommandResponse>"
    elif action == SHELL + "/Send":
        stream = body.find(f".//{{{SHELL}}}Stream")
        identifier = stream.get("CommandId")
        if identifier in ended:
            raise ValueError("input after its end")
        commands[identifier] += base64.b64decode(stream.text or "")
        if stream.get("End", "").lower() in ("true", "1"):
            ended.add(identifier)
        text = "<rsp:SendResponse/>"
    elif action == SHELL + "/Receive":
        identifier = body.find(f".//{{{SHELL}}}DesiredStream").get("CommandId")
        if identifier not in ended:
            raise ValueError("the script waits for the end of its input")
        script = base64.b64decode(commands[identifier]).decode()
        output = base64.b64encode(report(script)).decode()
        text = (
            f'<rsp:ReceiveResponse><rsp:Stream Name="stdout" CommandId="{identifier}">{output}</rsp:Stream>'
            f'<rsp:CommandState CommandId="{identifier}" State="{SHELL}/CommandState/Done">'
            "<rsp:ExitCode>0</rsp:ExitCode></rsp:CommandState></rsp:ReceiveResponse>"
        )
    elif action == SHELL + "/Signal":
        text = "<rsp:SignalResponse/>"
    elif action == TRANSFER + "/Delete":
        text = ""
    else:
        raise ValueError(f"the action {action} is not served")
    relates = header.find(f"{{{ADDRESSING}}}MessageID").text
    answer = (
        f'<s:Envelope xmlns:s="{SOAP}" xmlns:a="{ADDRESSING}" xmlns:w="{WSMAN}" xmlns:x="{TRANSFER}" '
        f'xmlns:rsp="{SHELL}"><s:Header><a:Action>{action}Response</a:Action><a:MessageID>uuid:{uuid.uuid4()}'
        f"</a:MessageID><a:RelatesTo>{relates}</a:RelatesTo></s:Header><s:Body>{text}</s:Body></s:Envelope>"
    )
    return action.rsplit("/", 1)[1], answer.encode()


class Connection(BaseHTTPRequestHandler):
    """One TCP connection, and the logon on it."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self):
        super().setup()
        self.logon = None

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        how = "none" if not body else "sealed" if LAYOUT.match(body) else "plain"
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        note(path=self.path, body=how, scheme=scheme, raw=base64.b64encode(body).decode())
        if scheme == "Negotiate":
            if not self.step(base64.b64decode(token)):
                return
            if not body:
                return self.answer(200)
        if self.logon is None or not self.logon.complete:
            return self.answer(401, challenge="Negotiate")
        if how != "sealed":
            return self.answer(500)
        action, text = carry_out(ElementTree.fromstring(self.open(body)))
        note(action=action)
        self.answer(200, self.seal(text), SEALED)

    def step(self, token):
        """One step of the handshake; whether it is complete."""
        import spnego

        if token[8:12] == b"\x01\0\0\0":
            options = spnego.NegotiateOptions.use_ntlm | spnego.NegotiateOptions.wrapping_winrm
            self.logon = spnego.server(protocol="ntlm", options=options)
        try:
            reply = self.logon.step(token)
        except spnego.exceptions.SpnegoError as error:
            note(refused=str(error))
            self.logon = None
            self.answer(401, challenge="Negotiate")
            return False
        if self.logon.complete:
            note(user=self.logon.client_principal)
            return True
        self.answer(401, challenge="Negotiate " + base64.b64encode(reply).decode())
        return False

    def open(self, body):
        layout = LAYOUT.match(body)
        payload = body[layout.end() :]
        (length,) = struct.unpack("<I", payload[:4])
        if not payload.endswith(TAIL) or length != 16:
            raise ValueError("the sealed body is laid out wrongly")
        plain = self.logon.unwrap_winrm(payload[4:20], payload[20 : -len(TAIL)])
        if len(plain) != int(layout.group(1)):
            raise ValueError("the sealed body is not as long as it says")
        return plain

    def seal(self, text):
        sealed = self.logon.wrap_winrm(text)
        return HEAD % len(text) + struct.pack("<I", len(sealed.header)) + sealed.header + sealed.data + TAIL

    def answer(self, status, body=b"", content_type=None, challenge=None):
        self.send_response(status)
        if challenge:
            self.send_header("WWW-Authenticate", challenge)
        if content_type:
            self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def main():
    os.environ["NTLM_USER_FILE"] = sys.argv[2]
    server = ThreadingHTTPServer((sys.argv[1], 0), Connection)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"port": server.server_address[1]}), flush=True)
    sys.stdin.read()


main()
