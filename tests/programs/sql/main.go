// Asks a MariaDB on the port of the first argument, with statements that are prepared and with arguments that the driver writes into them.
package main

import (
	"database/sql"
	"fmt"
	"os"

	_ "github.com/go-sql-driver/mysql"
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func open(options string) *sql.DB {
	db, err := sql.Open("mysql", fmt.Sprintf("tester:c4n4ry@tcp(127.0.0.1:%s)/shop%s", os.Args[1], options))
	must(err)
	db.SetMaxOpenConns(1)
	must(db.Ping())
	return db
}

func main() {
	db := open("")
	_, err := db.Exec("CREATE TABLE items (id INT PRIMARY KEY, name TEXT)")
	must(err)
	insert, err := db.Prepare("INSERT INTO items VALUES (?, ?)")
	must(err)
	for id := range 3 {
		_, err = insert.Exec(id, "c4n4ry")
		must(err)
	}
	if _, err = insert.Exec(1, "c4n4ry"); err == nil {
		panic("the same key twice")
	}
	must(insert.Close())
	rows, err := db.Query("SELECT name FROM items WHERE id > ?", 0)
	must(err)
	for rows.Next() {
	}
	must(rows.Close())
	must(db.Close())

	db = open("?interpolateParams=true")
	var count int
	must(db.QueryRow("SELECT COUNT(*) FROM items WHERE name = ? AND id < ?", "c4n4ry", 7).Scan(&count))
	must(db.Close())
	fmt.Println(count)
}
