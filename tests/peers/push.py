"""Pushes to the agent's sensor listener as the reference client of the Standard Webhooks signs.

Arguments: URL, key, id, body. Prints the status code.
"""

import sys
import urllib.error
import urllib.request
from datetime import datetime, timezone

from standardwebhooks import Webhook

url, key, msg_id, body = sys.argv[1:]
now = datetime.now(timezone.utc)
request = urllib.request.Request(
    url,
    data=body.encode(),
    headers={
        "webhook-id": msg_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(key).sign(msg_id, now, body),
    },
)
try:
    with urllib.request.urlopen(request, timeout=10) as answer:
        print(answer.status)
except urllib.error.HTTPError as refused:
    print(refused.code)
