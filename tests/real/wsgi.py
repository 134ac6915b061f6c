"""A WSGI application: says what it was told of the client, echoes uploads, streams, fails."""


def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/fail":
        raise RuntimeError("asked for")
    if path == "/echo":
        body = [environ["wsgi.input"].read()]
    elif path == "/stream":
        body = (b"%d\n" % n for n in range(1000))
    else:
        told = ["HTTP_HOST", "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "REQUEST_METHOD"]
        body = ["".join(f"{name}={environ.get(name)}\n" for name in told).encode()]
    start_response("200 OK", [("content-type", "text/plain")])
    return body
