package store

// Scanner is a row to be read: a Row, or the one that Rows stands at.
type Scanner interface{ Scan(dest ...any) error }

// All reads the rows of a query, each with scan, and closes them. It takes what Query
// returns: store.All(scanGame)(tx.Query(…)).
func All[T any](scan func(Scanner) (T, error)) func(*Rows, error) ([]T, error) {
	return func(rows *Rows, err error) (list []T, _ error) {
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		for rows.Next() {
			v, err := scan(rows)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return list, rows.Err()
	}
}

// Column reads the rows of a query of one column: store.Column[store.Key](tx.Query(…)).
func Column[T any](rows *Rows, err error) ([]T, error) {
	return All(func(row Scanner) (v T, err error) { return v, row.Scan(&v) })(rows, err)
}

// Set is Column as a set. It is never nil without an error.
func Set[T comparable](rows *Rows, err error) (map[T]bool, error) {
	list, err := Column[T](rows, err)
	if err != nil {
		return nil, err
	}
	set := make(map[T]bool, len(list))
	for _, v := range list {
		set[v] = true
	}
	return set, nil
}
