# A Rack application for unicorn's workers, each of which serves one connection at a time: one call for GET /w/ID. The backend's port
# comes in BACKEND.
require 'net/http'

run lambda { |env|
  # Opened after the fork, so that each worker has one of its own.
  $backend ||= Net::HTTP.start('127.0.0.1', ENV.fetch('BACKEND').to_i, keep_alive_timeout: 60)
  answer = $backend.get("/b/#{env['PATH_INFO'].delete_prefix('/w/')}/1").body
  [200, { 'Content-Length' => answer.bytesize.to_s }, [answer]]
}
