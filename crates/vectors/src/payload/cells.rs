//! Keys of places: a Z-order curve over the globe, so that an area is a few ranges of keys.
//!
//! A key is the interleaved bits of longitude and latitude, 32 each (8 bytes, big-endian), then latitude and longitude
//! themselves as floats (16 bytes): the exact check needs no second look-up. (Morton 1966; geohashes are the same
//! curve in base 32.)

use std::collections::VecDeque;
use std::ops::Bound;

use super::keys::Bounds;
use crate::filter::FieldTest;
use crate::filter::geo::GeoPoint;

/// Most ranges of keys for one area. Each costs two binary searches; fewer would read more places outside of the area.
const RANGES_MAX: usize = 64;
/// Bits of each axis.
const AXIS_BITS: u32 = 32;

/// The key of a place on Earth.
pub(crate) fn of_place(place: GeoPoint) -> [u8; 24] {
    let mut key = [0; 24];
    let code = interleave(
        step_of(place.longitude, 180.0),
        step_of(place.latitude, 90.0),
    );
    key[..8].copy_from_slice(&code.to_be_bytes());
    key[8..16].copy_from_slice(&place.latitude.to_be_bytes());
    key[16..].copy_from_slice(&place.longitude.to_be_bytes());
    key
}

/// The place of a key.
pub(crate) fn to_place(key: &[u8]) -> Option<GeoPoint> {
    let float = |bytes: &[u8]| Some(f64::from_be_bytes(bytes.try_into().ok()?));
    Some(GeoPoint {
        latitude: float(key.get(8..16)?)?,
        longitude: float(key.get(16..24)?)?,
    })
}

/// Which of 2^32 steps from `-most` to `most` degrees holds an angle.
fn step_of(degrees: f64, most: f64) -> u32 {
    // A float becomes the nearest number of 32 bits, so what lies outside falls to the first or last step.
    ((degrees + most) / (2.0 * most) * 4_294_967_296.0) as u32
}

fn interleave(longitude: u32, latitude: u32) -> u64 {
    spread(longitude) << 1 | spread(latitude)
}

/// Puts a zero in front of every bit.
fn spread(bits: u32) -> u64 {
    let mut wide = u64::from(bits);
    wide = (wide | wide << 16) & 0x0000_ffff_0000_ffff;
    wide = (wide | wide << 8) & 0x00ff_00ff_00ff_00ff;
    wide = (wide | wide << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    wide = (wide | wide << 2) & 0x3333_3333_3333_3333;
    (wide | wide << 1) & 0x5555_5555_5555_5555
}

/// A rectangle of steps, ends included.
#[derive(Clone, Copy)]
struct Steps {
    longitude: (u32, u32),
    latitude: (u32, u32),
}

/// The ranges of keys that hold every place of the area of a geographic test; `None` for other tests.
pub(crate) fn ranges_of(test: &FieldTest) -> Option<Vec<Bounds>> {
    let (south, north, west, east) = match test {
        FieldTest::GeoBox(area) => (
            area.bottom_right.latitude,
            area.top_left.latitude,
            area.top_left.longitude,
            area.bottom_right.longitude,
        ),
        FieldTest::GeoCircle(circle) => circle.bounds(),
        FieldTest::GeoPolygon(polygon) => polygon.bounds(),
        _ => return None,
    };
    let mut pieces = Vec::new();
    if matches!(test, FieldTest::GeoPolygon(_)) {
        // Its longitudes may go on beyond 180: the same area one turn away.
        for turn in [0.0, 360.0, -360.0] {
            let (from, to) = ((west + turn).max(-180.0), (east + turn).min(180.0));
            if from <= to {
                pieces.push((from, to));
            }
        }
    } else if west > east {
        pieces.extend([(west, 180.0), (-180.0, east)]);
    } else {
        pieces.push((west, east));
    }
    let mut ranges = Vec::new();
    for (west, east) in pieces {
        let area = Steps {
            longitude: (step_of(west, 180.0), step_of(east, 180.0)),
            latitude: (step_of(south, 90.0), step_of(north, 90.0)),
        };
        cover(area, &mut ranges);
    }
    Some(ranges)
}

/// Covers an area with cells of the curve, large ones first, splitting those on its edge while there are few.
fn cover(area: Steps, ranges: &mut Vec<Bounds>) {
    let mut cells = VecDeque::from([(0u32, 0u32, 0u32)]);
    let mut done = 0;
    while let Some((depth, longitude, latitude)) = cells.pop_front() {
        // `longitude` and `latitude` are the first `depth` bits of the cell's steps.
        let side = |prefix: u32| {
            let low = (u64::from(prefix) << (AXIS_BITS - depth)) as u32;
            let size = (1u64 << (AXIS_BITS - depth)) - 1;
            (low, low + size as u32)
        };
        let (east, north) = (side(longitude), side(latitude));
        let apart = |cell: (u32, u32), area: (u32, u32)| cell.1 < area.0 || cell.0 > area.1;
        if apart(east, area.longitude) || apart(north, area.latitude) {
            continue;
        }
        let within = |cell: (u32, u32), area: (u32, u32)| cell.0 >= area.0 && cell.1 <= area.1;
        let is_inside = within(east, area.longitude) && within(north, area.latitude);
        if is_inside || depth == AXIS_BITS || done + cells.len() + 4 > RANGES_MAX {
            ranges.push((
                Bound::Included(interleave(east.0, north.0).to_be_bytes()),
                behind(interleave(east.1, north.1)),
            ));
            done += 1;
            continue;
        }
        for (more_longitude, more_latitude) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            cells.push_back((
                depth + 1,
                longitude << 1 | more_longitude,
                latitude << 1 | more_latitude,
            ));
        }
    }
}

/// The bound behind every key that begins with a code.
fn behind(code: u64) -> Bound<[u8; 8]> {
    match code.checked_add(1) {
        Some(next) => Bound::Excluded(next.to_be_bytes()),
        None => Bound::Unbounded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::geo::GeoBox;

    #[test]
    fn ranges_hold_every_place_of_the_area_and_few_others() {
        let area = GeoBox {
            top_left: GeoPoint {
                latitude: 53.0,
                longitude: 13.0,
            },
            bottom_right: GeoPoint {
                latitude: 52.0,
                longitude: 14.0,
            },
        };
        let ranges = ranges_of(&FieldTest::GeoBox(area)).unwrap();
        assert!(ranges.len() <= RANGES_MAX);
        let mut outside = 0;
        for north in 0..200 {
            for east in 0..200 {
                let place = GeoPoint {
                    latitude: 51.5 + f64::from(north) / 100.0,
                    longitude: 12.5 + f64::from(east) / 100.0,
                };
                let key = of_place(place);
                assert_eq!(to_place(&key), Some(place));
                let found = ranges.iter().any(|(from, to)| {
                    let Bound::Included(from) = from else {
                        return false;
                    };
                    key[..] >= from[..]
                        && match to {
                            Bound::Excluded(to) => key[..] < to[..],
                            _ => true,
                        }
                });
                assert!(found || !area.contains(place));
                outside += usize::from(found && !area.contains(place));
            }
        }
        assert!(outside < 10_000, "{outside} places of 30,000 outside");
    }
}
