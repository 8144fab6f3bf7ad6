#!/bin/sh
# The example of the README: nginx -> shop.py -> stock.py and redis-server, and a customer who orders every half second.
# Usage: shop.sh [ORDERS]. Starts everything on loopback, ends it again, leaves nothing behind.
set -eu
orders=${1:-20}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
started=
trap 'kill $started 2>/dev/null || true; wait; rm -rf "$work"' EXIT INT TERM

cat > "$work/nginx.conf" <<EOF
daemon off; pid $work/nginx.pid; error_log $work/nginx.log;
events {}
http {
  access_log off;
  client_body_temp_path $work/body; proxy_temp_path $work/proxy; fastcgi_temp_path $work/fastcgi;
  uwsgi_temp_path $work/uwsgi; scgi_temp_path $work/scgi;
  upstream shop { server 127.0.0.1:18081; keepalive 16; }
  server { listen 127.0.0.1:18080; location / { proxy_pass http://shop; proxy_http_version 1.1; proxy_set_header Connection ''; } }
}
EOF
redis-server --port 18083 --bind 127.0.0.1 --save '' > /dev/null & started="$started $!"
/usr/bin/python3 "$here/stock.py" 18082 & started="$started $!"
/usr/bin/python3 "$here/shop.py" 18081 18082 18083 & started="$started $!"
/usr/sbin/nginx -c "$work/nginx.conf" & started="$started $!"
sleep 1
order=0
while [ "$order" -lt "$orders" ]; do
  order=$((order + 1))
  curl --silent --show-error "http://127.0.0.1:18080/order/$order"
  sleep 0.5
done
