package etcd

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
)

// DamagePages overwrites n of the pages that the database in a stopped member's data directory uses with noise, and returns which. Fewer are
// damaged when there are fewer.
func DamagePages(dataDir string, n int, random *rand.Rand) ([]int, error) {
	file := filepath.Join(dataDir, "member", "snap", "db")
	pages, size, err := usedPages(file)
	if err != nil {
		return nil, fmt.Errorf("damage database %s: %w", file, err)
	}
	random.Shuffle(len(pages), func(i, j int) { pages[i], pages[j] = pages[j], pages[i] })
	pages = pages[:min(n, len(pages))]
	slices.Sort(pages)
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("damage database: %w", err)
	}
	noise := make([]byte, size)
	errs := []error{}
	for _, page := range pages {
		for i := range noise {
			noise[i] = byte(random.Uint32())
		}
		_, err := f.WriteAt(noise, int64(page)*int64(size))
		errs = append(errs, err)
	}
	if err := errors.Join(append(errs, f.Close())...); err != nil {
		return nil, fmt.Errorf("damage database: %w", err)
	}
	return pages, nil
}

// usedPages are the first pages of all nodes of a sound database: damage elsewhere would go unnoticed, rightly.
func usedPages(file string) (pages []int, size int, err error) {
	db, err := bolt.Open(file, 0, &bolt.Options{ReadOnly: true, PreLoadFreelist: true, Timeout: time.Second})
	if err != nil {
		return nil, 0, err
	}
	defer db.Close()
	err = db.View(func(tx *bolt.Tx) error {
		for id := 0; ; {
			page, err := tx.Page(id)
			if err != nil || page == nil {
				return err
			}
			if page.Type == "leaf" || page.Type == "branch" {
				pages = append(pages, id)
				id += page.OverflowCount
			}
			id++
		}
	})
	return pages, db.Info().PageSize, err
}
