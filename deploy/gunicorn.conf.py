"""gunicorn in place of waitress: ``gunicorn --config gunicorn.conf.py --paste production.ini``.

docs/deployment.md compares the two, and says what gunicorn leaves to nginx.
"""

from waitress.proxy_headers import proxy_headers_middleware

bind = "127.0.0.1:6543"
# One for each core. With preload_app, too, each has its own caches and follows the storage.
workers = 2
worker_class = "gthread"
threads = 8
# Seconds; gthread workers show that they live also while a request takes long.
timeout = 60
graceful_timeout = 30
# Longer than nginx keeps connections, so that no upload meets a closed one.
keepalive = 75
# In bytes, as max_request_header_size of waitress: tokens and cookies may be long.
limit_request_field_size = 65536
# Nothing here is changed at run time.
control_socket_disable = True


def post_worker_init(worker):
    """Believe the X-Forwarded-* of nginx and of nobody else, as ``trusted_proxy`` of waitress."""
    worker.wsgi = proxy_headers_middleware(
        worker.wsgi,
        trusted_proxy="127.0.0.1",
        trusted_proxy_headers={"x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"},
    )
