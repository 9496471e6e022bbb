#!/usr/bin/env python3
"""A small HTTPS host with bad manners, for tests of what fetches from strangers.

https_host.py DIRECTORY

DIRECTORY has tls.pem and tls.key, and the files that are served. Prints three ports of 127.0.0.1 in one line: HTTPS, one
that accepts connections and says nothing (no TLS handshake), one that resets them. Writes a line to DIRECTORY/requests for
each connection ("connection") and each request (its path) to the first. While there is a file DIRECTORY/broken, every
request is answered with 503.

  /NAME                  the file, 404 when there is none
  /wait/MS/NAME          the file, after so many milliseconds
  /header/LINE/NAME      the file with one more header line, percent-encoded
  /status/CODE           that status, with a body; a 3xx leads to /good.pem
  others                 see BEHAVIOURS
"""
import gzip
import os
import socket
import ssl
import struct
import sys
import threading
import time
import urllib.parse

directory = sys.argv[1]
TYPE = "application/pem-certificate-chain"


def file(name):
    try:
        with open(os.path.join(directory, os.path.basename(name)), "rb") as stream:
            return stream.read()
    except OSError:
        return None


def log(line):
    fd = os.open(os.path.join(directory, "requests"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(fd, (line + "\n").encode())
    os.close(fd)


def answer(link, body, status="200 OK", lines=(), content_type=TYPE):
    if body is None:
        status, body, lines = "404 Not Found", b"none here\n", ()
    head = ["HTTP/1.1 " + status, "Content-Type: " + content_type, "Content-Length: %d" % len(body), *lines]
    link.sendall(("\r\n".join(head) + "\r\n\r\n").encode() + body)


def stream(link, head, piece, pause=0.0):
    link.sendall(head)
    while True:
        link.sendall(piece)
        time.sleep(pause)


def silence(link):
    link.recv(1)


def slow(link):
    body = file("good.pem")
    link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
    for octet in body:
        link.sendall(bytes([octet]))
        time.sleep(1)


def reset(link):
    link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    os.close(link.detach())


def chunked(link):
    body = file("good.pem")
    link.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for i in range(0, len(body), 100):
        link.sendall(b"%x\r\n%s\r\n" % (len(body[i:i + 100]), body[i:i + 100]))
    link.sendall(b"0\r\n\r\n")


BEHAVIOURS = {
    "/silence": silence,
    "/slow": slow,
    "/reset": reset,
    "/nothing": lambda link: None,
    "/early": lambda link: link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n-----BEGIN"),
    "/empty": lambda link: answer(link, b""),
    "/garbage": lambda link: link.sendall(b"\x00\x01\x02 certificates?\r\n\r\n"),
    "/no-length": lambda link: link.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + file("good.pem")),
    "/chunked": chunked,
    "/html": lambda link: answer(link, b"<html><body>Welcome!</body></html>", content_type="text/html"),
    "/wrong-type": lambda link: answer(link, file("good.pem"), content_type="video/mp4"),
    "/gzip": lambda link: answer(link, gzip.compress(file("good.pem")), lines=["Content-Encoding: gzip"]),
    "/gzip-bomb": lambda link: answer(link, gzip.compress(bytes(50 << 20)), lines=["Content-Encoding: gzip"]),
    "/exactly-64k": lambda link: answer(link, b"x" * 65536),
    "/64k-and-one": lambda link: answer(link, b"x" * 65537),
    "/64k-and-one-no-length": lambda link: link.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 65537),
    "/10-gigabytes": lambda link: stream(
        link, b"HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\n", b"x" * 65536),
    "/endless-body": lambda link: stream(link, b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536),
    "/endless-chunks": lambda link: stream(
        link, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 1000),
    "/endless-chunk-extension": lambda link: stream(
        link, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"x" * 4096),
    "/endless-headers": lambda link: stream(link, b"HTTP/1.1 200 OK\r\n", b"X-Header: again\r\n" * 50),
    "/endless-header-line": lambda link: stream(link, b"HTTP/1.1 200 OK\r\nX-Header: ", b"x" * 4096),
    "/endless-100": lambda link: stream(link, b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 50),
}


def respond(link, path):
    parts = path.split("/")
    if os.path.exists(os.path.join(directory, "broken")):
        answer(link, b"out of order\n", "503 Service Unavailable")
    elif path in BEHAVIOURS:
        BEHAVIOURS[path](link)
    elif parts[1] == "wait":
        time.sleep(int(parts[2]) / 1000)
        answer(link, file(parts[3]))
    elif parts[1] == "header":
        answer(link, file(parts[3]), lines=[urllib.parse.unquote(parts[2])])
    elif parts[1] == "status":
        answer(link, file("good.pem"), parts[2] + " So", lines=["Location: /good.pem"])
    else:
        answer(link, file(path))


def serve(raw, context):
    log("connection")
    try:
        raw.settimeout(30)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with context.wrap_socket(raw, server_side=True) as link:
            request = b""
            while b"\r\n\r\n" not in request and len(request) < 65536:
                got = link.recv(4096)
                if not got:
                    return
                request += got
            path = request.split(b" ")[1].decode()
            log(path)
            respond(link, path)
    except (OSError, ValueError, IndexError):
        pass


def listen(backlog=128):
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", 0))
    listener.listen(backlog)
    return listener


def stall(listener):
    kept = []
    while True:
        kept.append(listener.accept())


def refuse(listener):
    while True:
        reset(listener.accept()[0])


def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.path.join(directory, "tls.pem"), os.path.join(directory, "tls.key"))
    listeners = [listen(), listen(), listen()]
    threading.Thread(target=stall, args=(listeners[1],), daemon=True).start()
    threading.Thread(target=refuse, args=(listeners[2],), daemon=True).start()
    print(*[listener.getsockname()[1] for listener in listeners], flush=True)
    while True:
        link = listeners[0].accept()[0]
        threading.Thread(target=serve, args=(link, context), daemon=True).start()


main()
