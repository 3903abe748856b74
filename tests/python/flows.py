"""The client of python-socketio walks through the main flows: logging in, messages both ways, typing, a call."""

import json
import os
import queue
import random
import time
import urllib.request

import socketio

GATEWAYS = [os.environ["GATEWAY_A"], os.environ["GATEWAY_B"]]
PATIENCE = 10


class Person:
    """Somebody who is logged in, with one socket that remembers what it hears."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.token = None
        phone = "+49" + "".join(random.choices("0123456789", k=11))
        sent = self.request("POST", "/api/auth/send-otp-login", {"phone": phone})
        login = self.request(
            "POST", "/api/auth/verify-otp-login", {"otp": sent["otp"], "sessionId": sent["sessionId"]}
        )
        self.token, self.id = login["token"], login["user"]["id"]
        self.heard = {}
        self.socket = socketio.Client(reconnection=False)
        self.socket.on("*", self.hear)

    def request(self, method, path, body=None):
        request = urllib.request.Request(
            self.gateway + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"content-type": "application/json"},
        )
        if self.token:
            request.add_header("authorization", "Bearer " + self.token)
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            return json.load(response)

    def connect(self, transports):
        self.socket.connect(self.gateway, auth={"token": self.token}, transports=transports)

    def hear(self, name, *arguments):
        assert len(arguments) == 1, f"{name} has {len(arguments)} arguments"
        self.heard.setdefault(name, queue.Queue()).put(arguments[0])

    def expect(self, name):
        """Returns the body of the next event of a name."""
        try:
            return self.heard.setdefault(name, queue.Queue()).get(timeout=PATIENCE)
        except queue.Empty:
            raise AssertionError(f"never {name}; heard {sorted(self.heard)}") from None

    def never(self, name):
        assert self.heard.get(name, queue.Queue()).empty(), name


def messages(one, other, conversation):
    one.socket.emit("send-message", {"conversationId": conversation, "content": "hi", "clientId": "c1"})
    sent, heard = one.expect("message-sent"), other.expect("receive-message")
    assert sent["_id"] == heard["_id"] == other.expect("message")["_id"], heard
    assert heard["from"] == heard["sender"] == one.id and heard["text"] == "hi", heard
    answer = other.socket.call(
        "send-message", {"conversationId": conversation, "content": "hello"}, timeout=PATIENCE
    )
    assert answer["ok"] is True, answer
    assert one.expect("receive-message")["content"] == "hello"
    history = one.request("GET", f"/api/messages?conversation={conversation}")
    assert [message["text"] for message in history] == ["hi", "hello"], history


def call(one, other):
    offer, answer = {"type": "offer", "sdp": "v=0\r\n"}, {"type": "answer", "sdp": "v=0\r\n"}
    one.socket.emit("call:invite", {"to": other.id, "sdp": offer, "kind": "video"})
    ringing, incoming = one.expect("call:ringing"), other.expect("call:incoming")
    call_id = ringing["callId"]
    assert incoming == {"callId": call_id, "from": one.id, "sdp": offer, "kind": "video"}, incoming
    other.socket.emit("call:answer", {"callId": call_id, "accept": True, "sdp": answer})
    answered = one.expect("call:answer")
    assert answered == {"callId": call_id, "from": other.id, "sdp": answer, "kind": "video"}, answered
    candidate = {"candidate": "candidate:1", "sdpMid": "0", "sdpMLineIndex": 0}
    for sender, hearer in [(one, other), (other, one)]:
        sender.socket.emit("call:candidate", {"callId": call_id, "candidate": candidate})
        told = hearer.expect("call:candidate")
        assert told == {"callId": call_id, "from": sender.id, "candidate": candidate}, told
    other.socket.emit("call:hangup", {"callId": call_id})
    for person in [one, other]:
        assert person.expect("call:ended") == {"callId": call_id, "by": other.id}
    one.socket.emit("call:hangup", {"callId": call_id})
    one.socket.call("join-conversation", {"conversationId": call_id}, timeout=PATIENCE)
    for person in [one, other]:
        for name in ["call:ended", "call:error", "error"]:
            person.never(name)


def main():
    one, other = (Person(gateway) for gateway in GATEWAYS)
    opened = one.request("POST", "/api/conversations", {"otherUserId": other.id})
    one.connect(["websocket"])
    # Long polling first, as this client does by itself, and then the upgrade.
    other.connect(None)
    assert one.expect("connected")["userId"] == one.id
    messages(one, other, opened["conversation"]["_id"])
    call(one, other)
    for person in [one, other]:
        person.socket.disconnect()


if __name__ == "__main__":
    begun = time.monotonic()
    main()
    print(f"all flows in {time.monotonic() - begun:.1f} s")
