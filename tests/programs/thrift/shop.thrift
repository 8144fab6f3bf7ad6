// The service of `shop.py`.
struct Order {
  1: i32 id,
  2: string article,
  3: map<string, list<i32>> sizes,
}

exception NoSuchOrder {
  1: i32 id,
}

service Orders {
  Order find(1: i32 id) throws (1: NoSuchOrder missing),
  void add(1: Order order),
  i32 broken(),
  oneway void seen(1: i32 id),
}

// The same with a method that the server does not have.
service Newer {
  i32 unheard(),
}
