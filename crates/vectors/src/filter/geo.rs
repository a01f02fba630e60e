//! Places on Earth and areas that hold them. Degrees on a sphere, as payloads give them: `{"lat": 52.5, "lon": 13.4}`.

use serde_json::Value;

/// Mean radius of the Earth in metres, (2a + b) / 3 of the GRS 80 ellipsoid (Moritz 2000, Journal of Geodesy 74).
pub const EARTH_RADIUS_METRES: f64 = 6_371_008.8;

/// A place in degrees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GeoPoint {
    /// Degrees north of the equator.
    pub latitude: f64,
    /// Degrees east of Greenwich.
    pub longitude: f64,
}

impl GeoPoint {
    /// The place that a payload value gives as an object with the numbers `lat` and `lon`.
    pub fn of_value(value: &Value) -> Option<GeoPoint> {
        let object = value.as_object()?;
        let point = GeoPoint {
            latitude: object.get("lat")?.as_f64()?,
            longitude: object.get("lon")?.as_f64()?,
        };
        (point.latitude.is_finite() && point.longitude.is_finite()).then_some(point)
    }

    /// Metres along the great circle (haversine formula).
    pub fn distance_metres(self, other: GeoPoint) -> f64 {
        let [from, to] = [self.latitude.to_radians(), other.latitude.to_radians()];
        let half_north = ((to - from) / 2.0).sin();
        let half_east = ((other.longitude - self.longitude).to_radians() / 2.0).sin();
        let square = half_north * half_north + from.cos() * to.cos() * half_east * half_east;
        // Rounding may lift the square of opposite places above 1.
        2.0 * EARTH_RADIUS_METRES * square.min(1.0).sqrt().asin()
    }

    /// Whether both degrees are where degrees belong: latitude within ±90, longitude within ±180.
    pub fn is_on_earth(self) -> bool {
        self.latitude.abs() <= 90.0 && self.longitude.abs() <= 180.0
    }
}

/// A box between two meridians and two parallels, edges excluded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GeoBox {
    /// Its northern edge and western edge.
    pub top_left: GeoPoint,
    /// Its southern edge and eastern edge. West of `top_left` when the box crosses the antimeridian.
    pub bottom_right: GeoPoint,
}

impl GeoBox {
    /// Whether the place lies within.
    pub fn contains(&self, point: GeoPoint) -> bool {
        let (west, east) = (self.top_left.longitude, self.bottom_right.longitude);
        let between = if west > east {
            point.longitude > west || point.longitude < east
        } else {
            west < point.longitude && point.longitude < east
        };
        between
            && self.bottom_right.latitude < point.latitude
            && point.latitude < self.top_left.latitude
    }
}

/// Places nearer to a centre than a distance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GeoCircle {
    /// The centre.
    pub center: GeoPoint,
    /// The distance in metres, excluded.
    pub radius_metres: f64,
}

impl GeoCircle {
    /// Whether the place lies within.
    pub fn contains(&self, point: GeoPoint) -> bool {
        self.center.distance_metres(point) < self.radius_metres
    }

    /// A box around the circle: (south, north, west, east). West is greater than east when it crosses the antimeridian.
    pub fn bounds(&self) -> (f64, f64, f64, f64) {
        // A little wider, so that rounding never cuts off a place that the exact check lets in.
        let angle = self.radius_metres / EARTH_RADIUS_METRES * (1.0 + 1e-9) + 1e-12;
        let latitude = self.center.latitude.to_radians();
        let south = (latitude - angle).to_degrees() - 1e-9;
        let north = (latitude + angle).to_degrees() + 1e-9;
        if south <= -90.0 || north >= 90.0 || angle >= std::f64::consts::FRAC_PI_2 {
            // A pole lies within: every meridian is met.
            return (south.max(-90.0), north.min(90.0), -180.0, 180.0);
        }
        let reach = (angle.sin() / latitude.cos()).min(1.0).asin().to_degrees() + 1e-9;
        if reach >= 180.0 {
            return (south, north, -180.0, 180.0);
        }
        (
            south,
            north,
            wrapped(self.center.longitude - reach),
            wrapped(self.center.longitude + reach),
        )
    }
}

/// A longitude brought into -180 to 180.
fn wrapped(longitude: f64) -> f64 {
    if longitude < -180.0 {
        longitude + 360.0
    } else if longitude > 180.0 {
        longitude - 360.0
    } else {
        longitude
    }
}

/// An area within a closed line of straight edges in degrees, with holes. Its edge is excluded, as are the edges of holes.
///
/// An area across the antimeridian is written with longitudes that go on beyond 180 (or -180): 170, 190.
#[derive(Debug, Clone, PartialEq)]
pub struct GeoPolygon {
    /// The outer line: at least four places, the last one equal to the first.
    pub exterior: Vec<GeoPoint>,
    /// Lines around holes, of the same form.
    pub interiors: Vec<Vec<GeoPoint>>,
}

/// Where a place lies to a closed line.
#[derive(PartialEq)]
enum Side {
    Inside,
    Edge,
    Outside,
}

impl GeoPolygon {
    /// Whether the place lies within.
    pub fn contains(&self, point: GeoPoint) -> bool {
        let (south, north, west, east) = self.bounds();
        [0.0, 360.0, -360.0].into_iter().any(|turn| {
            let point = GeoPoint {
                latitude: point.latitude,
                longitude: point.longitude + turn,
            };
            (south..=north).contains(&point.latitude)
                && (west..=east).contains(&point.longitude)
                && side(&self.exterior, point) == Side::Inside
                && self
                    .interiors
                    .iter()
                    .all(|hole| side(hole, point) == Side::Outside)
        })
    }

    /// A box around the polygon: (south, north, west, east), where west and east may lie beyond ±180.
    pub fn bounds(&self) -> (f64, f64, f64, f64) {
        let none = (
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::INFINITY,
            f64::NEG_INFINITY,
        );
        self.exterior
            .iter()
            .fold(none, |(south, north, west, east), point| {
                (
                    south.min(point.latitude),
                    north.max(point.latitude),
                    west.min(point.longitude),
                    east.max(point.longitude),
                )
            })
    }
}

/// Counts the edges that a ray from the place towards the north crosses: an odd count is inside.
fn side(line: &[GeoPoint], point: GeoPoint) -> Side {
    let mut inside = false;
    for edge in line.windows(2) {
        let [from, to] = [edge[0], edge[1]];
        let (east_from, east_to) = (
            from.longitude - point.longitude,
            to.longitude - point.longitude,
        );
        let (north_from, north_to) = (from.latitude - point.latitude, to.latitude - point.latitude);
        // Twice the area of the triangle of the edge and the place: 0 when the place is on the edge's line.
        let area = east_from * north_to - east_to * north_from;
        if area == 0.0 && east_from * east_to <= 0.0 && north_from * north_to <= 0.0 {
            return Side::Edge;
        }
        if (east_from > 0.0) != (east_to > 0.0) && (area > 0.0) == (east_from > east_to) {
            inside = !inside;
        }
    }
    if inside { Side::Inside } else { Side::Outside }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(latitude: f64, longitude: f64) -> GeoPoint {
        GeoPoint {
            latitude,
            longitude,
        }
    }

    fn line(points: &[(f64, f64)]) -> Vec<GeoPoint> {
        points.iter().map(|&(x, y)| at(x, y)).collect()
    }

    #[test]
    fn distances_are_those_of_the_globe() {
        // A quarter of a meridian is a quarter of the circumference.
        let quarter = std::f64::consts::FRAC_PI_2 * EARTH_RADIUS_METRES;
        assert!((at(0.0, 0.0).distance_metres(at(90.0, 50.0)) - quarter).abs() < 1e-3);
        let half = at(10.0, 20.0).distance_metres(at(-10.0, -160.0));
        assert!((half - 2.0 * quarter).abs() < 1.0);
        // London to Moscow: about 2,500 km.
        let far = at(51.5074, -0.1278).distance_metres(at(55.7558, 37.6173));
        assert!((2_490_000.0..2_510_000.0).contains(&far));
    }

    #[test]
    fn boxes_may_cross_the_antimeridian() {
        let pacific = GeoBox {
            top_left: at(10.0, 170.0),
            bottom_right: at(-10.0, -170.0),
        };
        assert!(pacific.contains(at(0.0, 175.0)) && pacific.contains(at(0.0, -175.0)));
        assert!(!pacific.contains(at(0.0, 0.0)) && !pacific.contains(at(0.0, 170.0)));
        assert!(!pacific.contains(at(10.0, 175.0)));
    }

    #[test]
    fn the_bounds_of_a_circle_hold_it() {
        for (latitude, longitude, radius) in [
            (0.0, 0.0, 1_000.0),
            (60.0, 179.9, 50_000.0),
            (-60.0, -179.9, 50_000.0),
            (89.9, 10.0, 30_000.0),
            (45.0, 10.0, 15_000_000.0),
        ] {
            let circle = GeoCircle {
                center: at(latitude, longitude),
                radius_metres: radius,
            };
            let (south, north, west, east) = circle.bounds();
            for step in 0..20_000 {
                let place = at(
                    f64::from(step % 200) * 0.9 - 90.0,
                    f64::from(step / 200) * 3.6 - 180.0,
                );
                let near = at(
                    (latitude + (place.latitude / 90.0) * 0.5).clamp(-90.0, 90.0),
                    wrapped(longitude + place.longitude / 180.0),
                );
                for place in [place, near] {
                    let between = if west <= east {
                        (west..=east).contains(&place.longitude)
                    } else {
                        place.longitude >= west || place.longitude <= east
                    };
                    if circle.contains(place) {
                        assert!(between && (south..=north).contains(&place.latitude));
                    }
                }
            }
        }
    }

    #[test]
    fn polygons_leave_out_edges_and_holes_and_cross_the_antimeridian() {
        let square = GeoPolygon {
            exterior: line(&[
                (0.0, 0.0),
                (0.0, 10.0),
                (10.0, 10.0),
                (10.0, 0.0),
                (0.0, 0.0),
            ]),
            interiors: vec![line(&[
                (4.0, 4.0),
                (4.0, 6.0),
                (6.0, 6.0),
                (6.0, 4.0),
                (4.0, 4.0),
            ])],
        };
        for (place, within) in [
            (at(1.0, 1.0), true),
            (at(5.0, 5.0), false),
            (at(4.0, 5.0), false),
            (at(0.0, 5.0), false),
            (at(10.0, 10.0), false),
            (at(5.0, 3.0), true),
            (at(-1.0, 5.0), false),
            (at(5.0, 11.0), false),
        ] {
            assert_eq!(square.contains(place), within, "{place:?}");
        }
        let pacific = GeoPolygon {
            exterior: line(&[
                (-5.0, 170.0),
                (5.0, 170.0),
                (5.0, 190.0),
                (-5.0, 190.0),
                (-5.0, 170.0),
            ]),
            interiors: Vec::new(),
        };
        assert!(pacific.contains(at(0.0, 175.0)) && pacific.contains(at(0.0, -175.0)));
        assert!(!pacific.contains(at(0.0, -165.0)) && !pacific.contains(at(0.0, 5.0)));
    }
}
