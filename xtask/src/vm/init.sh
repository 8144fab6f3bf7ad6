#!/bin/busybox sh
# The first process of a test machine. It traces real HTTP exchanges with the agent and writes what it saw, in sections that
# begin with "=== NAME", to the second serial port. The first port is the kernel's console and stays out of it.
/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ip link set lo up

stty -F /dev/ttyS1 raw
exec 3>/dev/ttyS1
section() { echo "=== $1" >&3; }

section release
uname -r >&3

section doctor
wirespan doctor --json >&3 2>/tmp/doctor.err
cat /tmp/doctor.err

for name in warm ipv4 ipv6; do echo hello >/www/$name; done
httpd -h /www -p 127.0.0.1:8080
httpd -h /www -p '[::1]:8080'

wirespan run --quiet --otlp-file /tmp/spans 2>/tmp/stderr &
agent=$!

# An emulated machine is slow and the agent says nothing about when it is ready, so ask until an exchange was seen.
tries=0
while [ ! -s /tmp/spans ] && [ $tries -lt 60 ] && kill -0 $agent 2>/dev/null; do
    wget -q -O /dev/null http://127.0.0.1:8080/warm
    tries=$((tries + 1))
    sleep 1
done
wget -q -O /dev/null http://127.0.0.1:8080/ipv4
wget -q -O /dev/null 'http://[::1]:8080/ipv6'
sleep 2

kill -TERM $agent || early=" before it was told to end"
wait $agent
status=$?

section status
echo "$status$early" >&3
section spans
cat /tmp/spans >&3
section stderr
cat /tmp/stderr >&3
section end
sync
# Closed first: what is still in the port's buffer would be lost with the machine.
exec 3>&-
sleep 1
poweroff -f
