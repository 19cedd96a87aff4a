//! Bitmaps: averaging a finely drawn one down to its final size, and writing it as PNG.

use super::DrawError;

/// Dots a metre of a screen with 96 dots an inch, which nominal pixels stand for.
const DOTS_PER_METRE: u32 = 3780;

/// RGB pixels averaged over squares of `factor` × `factor`; width and height must be multiples of `factor`.
pub(super) fn shrunk(pixels: &[u8], width: u32, factor: u32) -> Vec<u8> {
    let (row, factor) = (width as usize * 3, factor as usize);
    let area = (factor * factor) as u32;
    let mut small = Vec::with_capacity(pixels.len() / (factor * factor));
    let mut sums = vec![0u32; row / factor];
    for rows in pixels.chunks_exact(row * factor) {
        sums.fill(0);
        for line in rows.chunks_exact(row) {
            for (square, sum) in line.chunks_exact(3 * factor).zip(sums.chunks_exact_mut(3)) {
                for pixel in square.chunks_exact(3) {
                    sum[0] += u32::from(pixel[0]);
                    sum[1] += u32::from(pixel[1]);
                    sum[2] += u32::from(pixel[2]);
                }
            }
        }
        small.extend(sums.iter().map(|sum| ((sum + area / 2) / area) as u8));
    }
    small
}

/// RGB pixels as a PNG file that says how many of them are a nominal pixel.
pub(super) fn png(pixels: &[u8], width: u32, height: u32, scale: u32) -> Result<Vec<u8>, DrawError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let dots = DOTS_PER_METRE * scale;
    encoder.set_pixel_dims(Some(png::PixelDimensions { xppu: dots, yppu: dots, unit: png::Unit::Meter }));
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shrunk_bitmap_holds_the_means_of_its_squares() {
        let dark_and_light = [[0, 0, 0], [255, 100, 40], [0, 0, 0], [255, 100, 40]].concat();
        assert_eq!(shrunk(&dark_and_light, 2, 2), [128, 50, 20]);
    }
}
