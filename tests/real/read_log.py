"""Reads a log with haproxy_log_analysis, and prints what it found as a line of JSON."""

import json
import sys
from collections import Counter

from haproxy.logfile import Log

log = Log(sys.argv[1])
status, servers, paths = Counter(), Counter(), Counter()
for line in log:
    status[line.status_code] += 1
    servers[f"{line.backend_name}/{line.server_name}"] += 1
    paths[line.http_request_path] += 1
print(json.dumps({
    "valid": log.valid_lines,
    "invalid": log.invalid_lines,
    "status": status,
    "servers": servers,
    "paths": paths,
}))
