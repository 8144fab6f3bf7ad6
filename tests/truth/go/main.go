// The Go workloads of the truth rig: PORT BACKEND DATABASE VARIANT.
//
// GET /w/ID makes the variant's calls and answers "ok". With "backend PORT" it is the backend of HTTP/2 and gRPC calls instead: see
// http2.go.
package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"time"

	_ "github.com/lib/pq"
	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
)

const (
	timer      = 5 * time.Millisecond
	background = 3 * time.Millisecond
	workers    = 8
)

// service is what every request shares.
type service struct {
	variant string
	backend string
	client  *http.Client
	cache   *redis.Client
	db      *sql.DB
	conn    *grpc.ClientConn
	jobs    chan job
}

// job is what a request asks a worker to do.
type job struct {
	id   string
	done chan error
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == "backend" {
		log.Fatal(serveBackend(os.Args[2]))
	}
	if len(os.Args) != 5 {
		log.Fatal("PORT BACKEND DATABASE VARIANT, or backend PORT")
	}
	port, backend, database := os.Args[1], "127.0.0.1:"+os.Args[2], "127.0.0.1:"+os.Args[3]
	s := &service{variant: os.Args[4], backend: "http://" + backend}
	s.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}}
	switch s.variant {
	case "redis":
		s.cache = redis.NewClient(&redis.Options{Addr: database, PoolSize: 64})
	case "sql":
		db, err := sql.Open("postgres", "postgres://truth@"+database+"/truth?sslmode=disable")
		if err != nil {
			log.Fatal(err)
		}
		db.SetMaxIdleConns(64)
		s.db = db
	case "http2", "http2-parallel":
		s.client = http2Client()
	case "grpc":
		s.conn = grpcConn(backend)
	case "background":
		go s.endless()
	case "pool":
		s.jobs = make(chan job)
		for range workers {
			go s.worker()
		}
	}
	http.HandleFunc("GET /w/{id}", s.handle)
	log.Fatal(http.ListenAndServe("127.0.0.1:"+port, nil))
}

func (s *service) handle(w http.ResponseWriter, r *http.Request) {
	if err := s.work(r.Context(), r.PathValue("id")); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	io.WriteString(w, "ok")
}

func (s *service) work(ctx context.Context, id string) error {
	switch s.variant {
	case "sequential":
		if err := s.call(ctx, id, 1); err != nil {
			return err
		}
		return s.call(ctx, id, 2)
	case "parallel", "http2-parallel":
		var both errgroup.Group
		both.Go(func() error { return s.call(ctx, id, 1) })
		both.Go(func() error { return s.call(ctx, id, 2) })
		return both.Wait()
	case "timer":
		time.Sleep(timer)
		return s.call(ctx, id, 1)
	case "redis":
		return s.cache.Get(ctx, "b:"+id+":1").Err()
	case "sql":
		_, err := s.db.ExecContext(ctx, "SELECT 1 /* b:"+id+":1 */")
		return err
	case "grpc":
		return grpcCall(ctx, s.conn, id, 1)
	case "pool":
		job := job{id, make(chan error)}
		s.jobs <- job
		return <-job.done
	case "after":
		go func() {
			time.Sleep(timer)
			if err := s.call(context.Background(), id, 1); err != nil {
				log.Print(err)
			}
		}()
		return nil
	default:
		return s.call(ctx, id, 1)
	}
}

func (s *service) call(ctx context.Context, id string, number int) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/b/%s/%d", s.backend, id, number), nil)
	if err != nil {
		return err
	}
	answer, err := s.client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body)
	return err
}

// worker does what requests ask for.
func (s *service) worker() {
	for job := range s.jobs {
		job.done <- s.call(context.Background(), job.id, 1)
	}
}

// endless makes calls that no request caused.
func (s *service) endless() {
	number := 0
	for range time.Tick(background) {
		if err := s.call(context.Background(), fmt.Sprintf("bg%d", number), 1); err != nil {
			log.Print(err)
		}
		number++
	}
}
